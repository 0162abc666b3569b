#!/bin/sh
# The tests behind netem, for machines whose own kernel lacks sch_netem: Debian's kernel, unpacked into build/netem, runs in a virtual machine on the files
# of this one, of which it may change build only. KERNEL: another kernel's image, its modules at ../lib/modules beside it. VNG: options of `vng` in place
# of --disable-kvm, such as --verbose where hardware virtualization works.
set -eu
cd "$(dirname "$0")/.."
sh sim/setup.sh netem
command -v qemu-system-x86_64 >/dev/null 2>&1 || { echo "netem: qemu-system-x86_64 is needed: sudo apt-get install qemu-system-x86"; exit 1; }
here=build/netem
mkdir -p "$here"
if [ -z "${KERNEL:-}" ]; then
    KERNEL=$(ls "$here"/boot/vmlinuz-* 2>/dev/null || true)
fi
if [ -z "$KERNEL" ]; then
    arch=$(dpkg --print-architecture)
    package=$(apt-cache depends "linux-image-$arch" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | tail -1)
    [ -n "$package" ] || { echo "netem: apt knows no kernel package linux-image-$arch; expected KERNEL=FILE, an image with modules beside it"; exit 1; }
    echo "unpacking $package into $here"
    (cd "$here" && apt-get -q download "$package" >apt.log 2>&1 && dpkg -x "$package"_*.deb . && rm "$package"_*.deb) \
        || { echo "netem: the kernel could not be fetched, see $here/apt.log"; exit 1; }
    KERNEL=$(ls "$here"/boot/vmlinuz-*)
fi
.venv/bin/python -c "from spps.params import TINY; from spps_sim.backend.simulation import Simulation; Simulation.of(TINY)"   # built here: the machine inside is slow
PATH=$PWD/.venv/bin:$PATH
exec vng --run "$KERNEL" ${VNG:---disable-kvm} --cpus 2 --memory 4G --user root --rwdir "$PWD/build" \
    -- "modprobe tun && .venv/bin/python -m pytest -n0 -p no:cacheprovider --no-skip -k netem tests/linux/test_linux_faults.py"
