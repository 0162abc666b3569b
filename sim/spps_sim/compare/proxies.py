"""Two proxies of HAProxy and keepalived between a client and a server, each in a network namespace of its own.

          client ── bridge clients ─┬─ net0 proxy0 net1 ─┬─ bridge servers ── server
                                    └─ net0 proxy1 net1 ─┘

Both bridges are in a fifth namespace, the switch. When a proxy dies its two ports of the switch go down, at once.
"""
import json
import os
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack, suppress

from spps.tools.errors import ToolError

from ..network.namespaces import Namespace, cable
from .config import CLIENT, SERVER, VIP, haproxy_config, keepalived_config, proxy_addresses

__all__ = ["PROGRAMS", "Proxies", "find_programs", "version"]

PROGRAMS = ("haproxy", "keepalived")
START_S = 15.0              # within which the first proxy has to own the virtual address
PORT_GROUP = 10             # group of the switch ports of proxy 0; that of proxy 1 is one more


def find_programs():
    """{name: path} of HAProxy and keepalived. Raises ToolError when one is missing."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    found = {name: shutil.which(name, path=path) for name in PROGRAMS}
    if missing := [name for name, where in found.items() if where is None]:
        raise ToolError(f"{' and '.join(missing)} missing: apt-get install {' '.join(missing)}, "
                        "or make compare as root")
    return found


def version(program):
    """The first line of what a program says of its version."""
    done = subprocess.run([program, "-v"], capture_output=True, text=True)
    return (done.stdout + done.stderr).strip().splitlines()[0]


class Proxies:
    """The five namespaces, with both proxies running; use as a context manager, which leaves nothing but `out`.

    Parameters
    ----------
    programs : dict
        What find_programs returned.
    advert : float
        Interval of VRRP advertisements in seconds.
    out : Path
        Folder in which proxy0 and proxy1 keep configuration and logs.
    buffer : int
        Largest window of a socket of any of the four hosts, and its buffer for sending, bytes.
    """

    def __init__(self, programs, advert, out, buffer):
        self.programs, self.advert, self.out, self.buffer = programs, advert, out, buffer
        self._processes = [[], []]      # of each proxy
        self._stack = ExitStack()

    def __enter__(self):
        try:
            self.switch, self.client, self.server, *self.proxies = (
                self._stack.enter_context(Namespace(role))
                for role in ("switch", "client", "server", "proxy0", "proxy1"))
            self._connect()
            self._stack.callback(self._stop)
            for number in (0, 1):
                self._start(number)
            self._wait()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _connect(self):
        for bridge in ("clients", "servers"):
            self.switch.ip("link", "add", bridge, "type", "bridge", "stp_state", "0")
            self.switch.ip("link", "set", bridge, "up")
        for host in (self.client, self.server, *self.proxies):
            host.sysctl("tcp_rmem", f"4096 {2 * self.buffer} {2 * self.buffer}")    # of which half is the window
            host.sysctl("tcp_wmem", f"4096 {self.buffer} {self.buffer}")
        plugs = [(self.client, "net0", "clients", CLIENT, 0), (self.server, "net0", "servers", SERVER, 0)]
        for number, proxy in enumerate(self.proxies):
            plugs += [(proxy, device, bridge, address, PORT_GROUP + number) for device, bridge, address in
                      zip(("net0", "net1"), ("clients", "servers"), proxy_addresses(number))]
            proxy.sysctl("ip_nonlocal_bind", 1)     # the standby listens at an address that it does not have yet
        for n, (namespace, device, bridge, address, group) in enumerate(plugs):
            cable(namespace, device, self.switch, f"port{n}")
            self.switch.ip("link", "set", f"port{n}", "master", bridge)
            self.switch.ip("link", "set", f"port{n}", "group", str(group))
            namespace.ip("addr", "add", f"{address}/24", "dev", device)

    def _start(self, number):
        folder = self.out / f"proxy{number}"
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob("*.pid"):       # of a run before, whose number may be that of another process now
            left.unlink()
        (folder / "haproxy.cfg").write_text(haproxy_config())
        (folder / "keepalived.conf").write_text(keepalived_config(number, self.advert))
        commands = {
            "haproxy": ["-db", "-f", folder / "haproxy.cfg"],
            "keepalived": ["--dont-fork", "--log-console", "--log-detail", "--no-syslog", "--vrrp",
                           "--use-file", folder / "keepalived.conf", "--pid", folder / "keepalived.pid",
                           "--vrrp_pid", folder / "vrrp.pid"],
        }
        for name, options in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                self._processes[number].append(self.proxies[number].popen(
                    [self.programs[name], *map(str, options)], stdin=subprocess.DEVNULL, stdout=log,
                    stderr=subprocess.STDOUT, start_new_session=True))

    def has_address(self, number):
        """Whether a proxy has the virtual address."""
        shown = json.loads(self.proxies[number].ip("-j", "addr", "show", "dev", "net0"))
        return any(entry["local"] == VIP for link in shown for entry in link["addr_info"])

    def _wait(self):
        """Until the first proxy owns the virtual address, and the other does not."""
        deadline = time.monotonic() + START_S + 4 * self.advert
        while not self.has_address(0) or self.has_address(1):
            self.check()
            if time.monotonic() > deadline:
                raise ToolError(f"proxy 0 did not become active: see {self.out}/proxy0/keepalived.log")
            time.sleep(0.1)

    def check(self):
        """Raise ToolError when a program of a proxy that has not been killed has ended."""
        for number, processes in enumerate(self._processes):
            for name, process in zip(PROGRAMS, processes):
                if process.poll() is not None:
                    log = self.out / f"proxy{number}" / f"{name}.log"
                    said = log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                    raise ToolError(f"{name} of proxy {number} ended: {said[-1]} (all of it: {log})")

    def kill(self, number):
        """A machine dies: both its ports go down, and nothing of it runs on; returns the monotonic time in seconds."""
        self.switch.ip("link", "set", "group", str(PORT_GROUP + number), "down")
        dead = time.monotonic()
        self._end(number)
        return dead

    def _end(self, number):
        """SIGKILL for what runs in the namespace of a proxy: our processes and the child of keepalived."""
        namespace = self.proxies[number]
        while pids := namespace.ip("netns", "pids", namespace.name, inside=False).split():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            for process in self._processes[number]:
                process.poll()
        for process in self._processes[number]:
            process.wait()
        self._processes[number] = []

    def _stop(self):
        for number in (0, 1):
            self._end(number)
