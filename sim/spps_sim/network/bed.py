"""Networks for two units that run in a process each: Ethernet switches, hosts, and where units plug in.

    client ─ clients ─┬─ unit0-clients ─ TAP of unit 0
                      └─ unit1-clients ─ TAP of unit 1
    server ─ servers ─┬─ unit0-servers ─ TAP of unit 0
                      └─ unit1-servers ─ TAP of unit 1
                sync ─┬─ unit0-sync ──── TAP of unit 0
                      └─ unit1-sync ──── TAP of unit 1

The switches `clients`, `servers` and `sync` are bridges that learn addresses. A wire leads from a switch to each unit:
a bridge that learns nothing. So the port of the switch stays up when the process of the unit is gone, and what the
switch has learned stays, as with a unit that dies behind a cable that does not.
"""
import fcntl
import json
import os
import secrets
import struct
from contextlib import ExitStack
from pathlib import Path

from spps.tools.errors import ToolError

from .namespaces import IFF_NO_PI, IFF_TAP, TUNSETIFF, MissingPrivilege, Namespace, cable, run_ip
from .testbed import Addresses

__all__ = ["NETWORKS", "Bed", "Tap", "bed_path", "read_bed"]

#: the switches: those of port 0 and 1 of a unit, and that of its sync link
NETWORKS = "clients", "servers", "sync"
QUIET = ("mcast_snooping", "0", "stp_state", "0", "forward_delay", "0")


def bed_path(control):
    """Where a bed says what it is made of, beside the control socket `control`."""
    return control.with_name(f"{control.stem}-bed.json")


def read_bed(control):
    """What `Bed` has written: {"switch", "client", "server", "key", "pid"}. Raises ToolError when no bed is there."""
    path = bed_path(control)
    try:
        found = json.loads(path.read_text())
        os.kill(found["pid"], 0)
        return found
    except (OSError, ValueError, KeyError) as error:
        raise ToolError(f"no bed at {path}: start `spps live --bed` first") from error


class Bed:
    """The switches and two hosts, each in a namespace of its own; use as a context manager, which leaves nothing.

    Parameters
    ----------
    control : Path
        Control socket of the bed; `bed_path(control)` tells the units where to plug in, and the key of their sync link.
        It can be read by this user only.
    """

    def __init__(self, control):
        self.path = bed_path(control)
        self._stack = ExitStack()

    def __enter__(self):
        try:
            self.switch, self.client, self.server = (
                self._stack.enter_context(Namespace(role)) for role in ("switch", "client", "server"))
            for network in NETWORKS:
                self._bridge(network)
                for unit in (0, 1):
                    wire, port = f"unit{unit}-{network}", f"port{unit}-{network}"
                    self._bridge(wire, "ageing_time", "0")
                    self.switch.ip("link", "add", port, "type", "veth", "peer", "name", f"w{port}")
                    for device, master in ((port, network), (f"w{port}", wire)):
                        self.switch.ip("link", "set", device, "master", master, "up")
            for host, network, address in ((self.client, "clients", Addresses.client_net),
                                           (self.server, "servers", Addresses.server_net)):
                cable(self.switch, f"host-{network}", host, "net0")
                self.switch.ip("link", "set", f"host-{network}", "master", network)
                host.ip("addr", "add", address, "dev", "net0")
            self._tell()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.path.unlink(missing_ok=True)
        self._stack.close()

    def _bridge(self, name, *options):
        self.switch.ip("link", "add", name, "type", "bridge", *QUIET, *options)
        self.switch.ip("link", "set", name, "up")

    def _tell(self):
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"switch": self.switch.name, "client": self.client.name, "server": self.server.name,
                       "key": secrets.token_hex(16), "pid": os.getpid()}, file)

    def learned(self, network):
        """{MAC address: device of the switch} that the switch of a network has learned."""
        entries = json.loads(self.switch.ip("-j", "fdb", "show", "br", network, tool="bridge"))
        return {entry["mac"]: entry["ifname"] for entry in entries if entry.get("state") != "permanent"}


class Tap:
    """A TAP device of this process at the end of a wire; it goes with the process.

    Parameters
    ----------
    switch : str
        Namespace of the switches.
    unit : int
        Which unit it belongs to.
    network : str
        One of NETWORKS.
    """

    def __init__(self, switch, unit, network):
        device, wire = f"tap{unit}-{network}", f"unit{unit}-{network}"
        self._where = Path(f"/var/run/netns/{switch}")
        try:
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            own = f"t{os.getpid() % 10 ** 8}{unit}{network[:2]}"
            fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH22x", own.encode(), IFF_TAP | IFF_NO_PI))
        except OSError as error:
            raise MissingPrivilege(f"TAP device {device}: {error.strerror}") from error
        try:
            run_ip("link", "set", own, "netns", switch, "name", device)
            run_ip("link", "set", device, "master", wire, "up", inside=switch)
        except MissingPrivilege as error:
            os.close(self.fd)
            raise ToolError(f"unit {unit} cannot plug into {wire}: {error}; does it run already?") from error

    def read(self):
        """The next frame, or None. Raises ToolError when the bed is gone."""
        try:
            return os.read(self.fd, 65536)
        except BlockingIOError:
            return None
        except OSError as error:
            if not self._where.exists():
                raise ToolError("the bed is gone") from error
            return None

    def write(self, frame):
        """Give a frame to the wire. False when it is lost."""
        try:
            os.write(self.fd, frame)
            return True
        except OSError:
            return False

    def close(self):
        """Unplug."""
        os.close(self.fd)
