"""Network namespaces with one TAP device each, or with cables between them, that vanish however this process ends.

A TAP device dies with the file descriptor that made it. A named namespace would stay after a crash, so a
small reaper process waits for the end of this one (its pipe closes, also on SIGKILL) and deletes them. Programs that
still run inside get SIGTERM, a second later SIGHUP, and SIGKILL after another.
"""
import ctypes
import fcntl
import ipaddress
import itertools
import json
import os
import shutil
import socket
import struct
import subprocess
import sys
from typing import Any

from spps.tools.errors import ToolError

__all__ = ["Namespace", "MissingPrivilege", "cable", "require_privilege", "run_ip"]

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
CLONE_NEWNET = 0x40000000

_REAPER = """
import os, signal, subprocess, sys, time
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
os.read(int(sys.argv[1]), 1)
name = sys.argv[2]
def pids():
    return subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True).stdout.split()
for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
    for pid in pids():
        try: os.kill(int(pid), number)
        except OSError: pass
    until = time.monotonic() + 1
    while pids() and time.monotonic() < until:
        time.sleep(0.05)
subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)
"""


class MissingPrivilege(ToolError):
    """TAP devices or namespaces cannot be made here, or not as wanted; the text says why, in one line."""


def require_privilege(tap=True):
    """Raises MissingPrivilege with the reason when this process cannot make a namespace, or with `tap` a TAP device."""
    if shutil.which("ip") is None:
        raise MissingPrivilege("the command ip is missing: apt-get install iproute2")
    if tap and not os.path.exists("/dev/net/tun"):
        raise MissingPrivilege("/dev/net/tun is missing: the kernel offers no TAP devices here")
    if os.geteuid() != 0:
        raise MissingPrivilege(f"{'TAP devices and ' if tap else ''}network namespaces need root")
    probe = f"spps-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if made.returncode:
        raise MissingPrivilege(f"ip netns add failed: {made.stderr.strip()}")
    subprocess.run(["ip", "netns", "del", probe], check=False)


def _free_name(name):
    """`name`, with a number when a namespace is called so."""
    names = itertools.chain([name], (f"{name}-{n}" for n in itertools.count(1)))
    return next(free for free in names if not os.path.exists(f"/var/run/netns/{free}"))


def run_ip(*arguments, inside=None, tool="ip"):
    """What ip(8), or another `tool` of its package, prints in the namespace named `inside`, or in that of this process.

    Raises MissingPrivilege when it fails.
    """
    command = [tool] + (["-n", inside] if inside else []) + list(arguments)
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise MissingPrivilege(f"{' '.join(command)}: {(done.stderr.strip() or 'failed').splitlines()[0]}")
    return done.stdout


def cable(one, device, other, far_device):
    """Connect two namespaces by a pair of Ethernet devices, both up."""
    one.ip("link", "add", device, "type", "veth", "peer", "name", far_device, "netns", other.name)
    one.ip("link", "set", device, "up")
    other.ip("link", "set", far_device, "up")


def _enter(namespace):
    """Move this thread into an open network namespace."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"entering {namespace.name}: {os.strerror(ctypes.get_errno())}")


class Namespace:
    """One network namespace with a TAP device `net0`; use as a context manager.

    role: part of the name spps-<role>-<pid>, with -<n> when this process has more of a role. address:
    "10.77.1.2/24"; None: no device. read()/write() exchange Ethernet frames.
    """

    def __init__(self, role, address=None, *, mtu=1500):
        self.name, self.address, self.mtu = _free_name(f"spps-{role}-{os.getpid()}"), address, mtu
        self.fd: Any = None         # file descriptor of the TAP device while it is there
        self._pipe = None
        self._reaper = None

    def ip(self, *arguments, inside=True, tool="ip"):
        """What ip(8) prints, inside the namespace or not. Raises MissingPrivilege when it fails."""
        return run_ip(*arguments, inside=self.name if inside else None, tool=tool)

    def __enter__(self):
        reader, self._pipe = os.pipe()
        self._reaper = subprocess.Popen([sys.executable, "-c", _REAPER, str(reader), self.name], pass_fds=(reader,),
                                        start_new_session=True)
        os.close(reader)
        try:
            self.ip("netns", "add", self.name, inside=False)
            self.run(["sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1"])
            self.ip("link", "set", "lo", "up")
            if self.address is not None:
                self._tap()
        except OSError as error:
            self.__exit__()
            raise MissingPrivilege(f"TAP device in {self.name}: {error}") from error
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.fd is not None:
            os.close(self.fd)
            self.fd = None
        if self._pipe is not None and self._reaper is not None:
            os.close(self._pipe)
            self._pipe = None
            self._reaper.wait(10)

    def _tap(self):
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        device = f"tp{os.getpid() % 100000}{self.name.split('-')[1][0]}"
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TAP | IFF_NO_PI))
        self.ip("link", "set", device, "netns", self.name, "name", "net0", inside=False)
        self.ip("link", "set", "net0", "mtu", str(self.mtu), "txqueuelen", "1000", "up")
        self.ip("addr", "add", self.address, "dev", "net0")

    @property
    def mac(self):
        """Hardware address of net0 as six bytes."""
        out = self.ip("-o", "link", "show", "net0")
        return bytes.fromhex(out.split("link/ether ")[1].split()[0].replace(":", ""))

    def replace_mac(self, mac):
        """Give net0 another hardware address, six bytes."""
        self.ip("link", "set", "net0", "address", mac.hex(":"))

    def add_address(self, address):
        """Give the host a further IPv4 address, that is not on the network."""
        self.ip("addr", "add", f"{address}/32", "dev", "lo")

    def command(self, arguments):
        """`arguments` prefixed so that they run inside the namespace."""
        return ["ip", "netns", "exec", self.name, *arguments]

    def run(self, arguments):
        """Run a program inside the namespace and wait for its end."""
        subprocess.run(self.command(arguments), check=False, capture_output=True)

    def popen(self, arguments, **kwargs):
        """Start a program inside the namespace; keyword arguments of subprocess.Popen."""
        return subprocess.Popen(self.command(arguments), **kwargs)

    def socket(self, *arguments):
        """A socket of this process, socket.socket(*arguments), that belongs to the namespace."""
        with open("/proc/self/ns/net") as home, open(f"/var/run/netns/{self.name}") as away:
            _enter(away)
            try:
                return socket.socket(*arguments)
            finally:
                _enter(home)

    def sysctl(self, name, value=None):
        """net.ipv4.<name> inside the namespace as text, after setting it unless value is None.

        Raises ValueError when the kernel refuses.
        """
        setting = [] if value is None else ["-w", f"net.ipv4.{name}={value}"]
        words = ["sysctl", "-n", *(setting or [f"net.ipv4.{name}"])]
        done = subprocess.run(self.command(words), capture_output=True, text=True)
        if done.returncode:
            raise ValueError(done.stderr.strip())
        return done.stdout.strip()

    def route(self, *options):
        """What ip-route(8) says of the way to the other side: "initcwnd", "100"."""
        assert self.address is not None, f"{self.name} has no device"
        network = ipaddress.ip_interface(self.address).network
        self.ip("route", "replace", str(network), "dev", "net0", "proto", "kernel", "scope", "link", *options)

    def netem(self, *arguments):
        """Let frames of net0 meet what tc-netem(8) makes of the arguments, those that come in through a device `in0`.

        Raises MissingPrivilege when the kernel has no sch_netem, ifb or act_mirred.
        """
        self.ip("qdisc", "add", "dev", "net0", "root", "netem", *arguments, tool="tc")
        self.ip("link", "add", "in0", "type", "ifb")
        self.ip("link", "set", "in0", "up")
        self.ip("qdisc", "add", "dev", "in0", "root", "netem", *arguments, tool="tc")
        self.ip("qdisc", "add", "dev", "net0", "handle", "ffff:", "ingress", tool="tc")
        self.ip("filter", "add", "dev", "net0", "parent", "ffff:", "matchall", "action", "mirred", "egress",
                 "redirect", "dev", "in0", tool="tc")

    def netem_drops(self):
        """Frames that netem has lost, (going out, coming in)."""
        def drops(device):
            kinds = json.loads(self.ip("-s", "-j", "qdisc", "show", "dev", device, tool="tc"))
            return next(kind["drops"] for kind in kinds if kind["kind"] == "netem")
        return drops("net0"), drops("in0")

    def read(self):
        """The next frame, or None."""
        try:
            return os.read(self.fd, 65536)
        except BlockingIOError:
            return None

    def write(self, frame):
        """Give a frame to the namespace. False when its queue is full (the frame is lost, as on a wire)."""
        try:
            os.write(self.fd, frame)
            return True
        except (BlockingIOError, OSError):
            return False
