#!/bin/sh
# Make the checkout ready: system packages where this user may install them, then a virtual environment in .venv.
# What cannot be installed is named in one line, with the command that would. `setup.sh netem`: also what sim/netem.sh needs;
# `setup.sh compare`: also what `make compare` needs, two packages of the distribution; `setup.sh browser`: also Chromium,
# in which tests look at the page of a campaign.
set -u
cd "$(dirname "$0")/.."
mkdir -p build
set -- "${1:-}"

packages=""
want() { # command package
    command -v "$1" >/dev/null 2>&1 || packages="$packages $2"
}
want g++ g++; want make make; want perl perl; want ip iproute2; want tshark tshark; want curl curl
want iverilog iverilog; want ccache ccache
command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || packages="$packages nginx-light"
[ -e /usr/include/lz4.h ] || packages="$packages liblz4-dev"
if [ "$1" = netem ]; then
    want qemu-system-x86_64 qemu-system-x86; want busybox busybox-static; want kmod kmod; want udevadm udev
fi
if [ "$1" = compare ]; then
    for program in haproxy keepalived; do
        command -v "$program" >/dev/null 2>&1 || [ -x "/usr/sbin/$program" ] || packages="$packages $program"
    done
    set -- ""       # no Python packages of its own
fi
if [ "$1" = browser ]; then
    command -v chromium-browser >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1 || want chromium chromium
    set -- ""
fi
python3 -c 'import ensurepip' 2>/dev/null || packages="$packages python3-venv"
if [ -n "$packages" ]; then
    if [ "$(id -u)" = 0 ]; then sudo=""; elif sudo -n true 2>/dev/null; then sudo="sudo -n"; else sudo=no; fi
    if [ "$sudo" != no ] && command -v apt-get >/dev/null 2>&1; then
        echo "installing:$packages"
        { $sudo apt-get update && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $packages; } \
            >build/apt.log 2>&1 || echo "setup: system packages failed, see build/apt.log; wanted:$packages"
    else
        echo "setup: missing system packages; install them with: sudo apt-get install$packages"
    fi
fi
command -v g++ >/dev/null 2>&1 || { echo "setup: g++ is needed to build the simulation: sudo apt-get install g++"; exit 1; }

if ! [ -x .venv/bin/python ]; then
    python3 -m venv .venv || { echo "setup: python3 -m venv failed: sudo apt-get install python3-venv"; exit 1; }
fi
stamp=$(cat pyproject.toml constraints.txt | cksum)
if [ "$(cat ".venv/stamp$1" 2>/dev/null)" != "$stamp" ]; then
    echo "installing Python packages into .venv"
    .venv/bin/pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev${1:+,$1}]" >build/pip.log 2>&1 \
        || { tail -5 build/pip.log; echo "setup: pip failed, see build/pip.log"; exit 1; }
    echo "$stamp" > ".venv/stamp$1"
fi
