"""A running pair between two network namespaces: `spps live`, and the testbed the demo works with.

The pump moves frames between the TAP devices and the simulated pair, steps the pair in slices, and paces
simulated time so that one RTL timer tick is about one millisecond of wall time on this machine.
"""
import select
import socket
import time
from contextlib import ExitStack

from spps.tools.errors import ToolError

from ..backend.interface import FrameKind
from ..backend.keys import sync_keys
from ..backend.reprogram import Reprogram
from .links import Agenda, FaultyLink
from .namespaces import Namespace

__all__ = ["Addresses", "Testbed", "ip_number"]

SLICE = 2000            # cycles per step while there is traffic


def ip_number(text):
    """An IPv4 address as a number."""
    return int.from_bytes(socket.inet_aton(text), "big")


class Addresses:
    """The addresses on the two networks of a testbed."""

    client_net = "10.77.1.2/24"
    server_net = "10.77.2.2/24"
    vip = ("10.77.1.1", "10.77.2.1")
    client, server = "10.77.1.2", "10.77.2.2"
    links = ("client", "server")


class Testbed:
    """Two namespaces around a pair under simulation.

    Use as a context manager; everything it made is gone afterwards.

    Parameters
    ----------
    simulation : Simulation
        The pair, with its register map.
    params : SppsParams
        Sizes of the units.
    mode : str
        "proxy" or "endpoint".
    on_frame : callable
        Called with (link, unit or None, cycle, bytes) for each frame on a network, and with
        ("sync", unit, cycle, bytes).
    speed : float
        Simulated cycles per second of wall time to pace by; measured when it is not given.
    faults, seed : LinkFaults, int
        Faults of the links between the devices and the pair.
    netem : sequence of str
        Arguments of tc-netem(8) for both networks.
    """

    def __init__(self, simulation, params, *, mode="proxy", on_frame=None, speed=None, faults=None, netem=(), seed=0):
        self.sim, self.params, self.mode, self.on_frame = simulation, params, mode, on_frame
        self.speed, self.netem, self.seed = speed, netem, seed
        self.link, self._late = FaultyLink(faults, seed), Agenda()
        self.namespaces = []
        self.lost = [0, 0]              # frames a namespace's queue refused
        self.frames = {"in": [0, 0], "out": [0, 0], "sync": [0, 0]}
        self.cycles_run = 0
        self.busy_seconds = 0.0
        self.killed = self.frozen = 0   # bit n: unit n
        self._last_traffic = 0.0
        self._stack = ExitStack()

    def __enter__(self):
        try:
            for role, address in (("client", Addresses.client_net), ("server", Addresses.server_net)):
                self.namespaces.append(self._stack.enter_context(Namespace(role, address)))
                if self.netem:
                    self.namespaces[-1].netem(*self.netem)
            self._configure()
        except BaseException:
            self._stack.close()
            raise
        self._started = time.monotonic()
        self._paced = self.sim.cycle
        return self

    def __exit__(self, *details):
        self._stack.close()

    def _configure(self):
        self.sim.configure(sync_keys(self.seed))        # before there is a heartbeat
        if self.speed is None:
            started, before = time.monotonic(), self.sim.cycle
            self.sim.step(40_000)
            self.speed = (self.sim.cycle - before) / max(time.monotonic() - started, 1e-6)
        server_mac = self.namespaces[1].mac
        registers = {
            "hb_interval": 400,         # first: heartbeats are frequent when `takeover_after` becomes short
            "mode": int(self.mode == "proxy"),
            "vip_0": ip_number(Addresses.vip[0]), "vip_1": ip_number(Addresses.vip[1]),
            "server_ip": ip_number(Addresses.server),
            "server_mac_hi": int.from_bytes(server_mac[:2], "big"),
            "server_mac_lo": int.from_bytes(server_mac[2:], "big"),
            "tick_cycles": max(16, int(self.speed / 1000)),
            "window": min(65535, self.params.socket_bytes),
            "retransmit_after": 800, "lease": 1200, "takeover_after": 1600,
        }
        self.sim.configure(registers)

    # the pump ------------------------------------------------------------------------------
    def turn(self, idle_wait=0.002):
        """One round: frames in, a slice of cycles, frames out, pacing. Returns True when there was traffic."""
        traffic = False
        if self.sim.backend.pending() < 256:
            for port, namespace in enumerate(self.namespaces):
                for _ in range(64):
                    frame = namespace.read()
                    if frame is None:
                        break
                    self._carry(port, frame, self._into_pair)
                    traffic = True
        self._late.do(self.sim.cycle)
        started = time.monotonic()
        before = self.sim.cycle
        self.sim.step(SLICE)
        self.busy_seconds += time.monotonic() - started
        self.cycles_run += self.sim.cycle - before
        for frame in self.sim.pop_frames():
            traffic = self._deliver(frame) or traffic
        now = time.monotonic()
        if traffic:
            self._last_traffic = now
        elif now - self._last_traffic > 0.02:
            self._pace(now, idle_wait)
        return traffic

    def _carry(self, port, data, action):
        """Over the link between device and pair; what is not late goes on at once."""
        for late, arriving in self.link.carry(data):
            if late:
                self._late.plan(self.sim.cycle + late, action, port, arriving)
            else:
                action(port, arriving)

    def _into_pair(self, port, data):
        self.sim.push_frame(port, data)
        self.frames["in"][port] += 1

    def _into_device(self, port, data):
        if not self.namespaces[port].write(data):
            self.lost[port] += 1

    def _deliver(self, frame):
        """Hand one captured frame on; True when it is network traffic."""
        if frame.kind in (FrameKind.SYNC0, FrameKind.SYNC1):
            unit = frame.kind - FrameKind.SYNC0
            self.frames["sync"][unit] += 1
            if self.on_frame:
                self.on_frame("sync", unit, frame.cycle, frame.data)
            return False
        port = frame.side
        if port >= len(self.namespaces) or frame.err:
            return False
        incoming = frame.kind == FrameKind.IN
        if self.on_frame:
            self.on_frame(Addresses.links[port], None if incoming else frame.unit, frame.cycle, frame.data)
        if not incoming:
            self.frames["out"][port] += 1
            self._carry(port, frame.data, self._into_device)
        return True

    def _pace(self, now, idle_wait):
        """Without traffic, keep simulated time at `speed` cycles per second and leave the processor to others."""
        ahead = (self.sim.cycle - self._paced) / self.speed - (now - self._started)
        if ahead > idle_wait:
            select.select([n.fd for n in self.namespaces], [], [], min(ahead, 0.01))
        elif ahead < -0.05:
            self._started, self._paced = now, self.sim.cycle

    # control -------------------------------------------------------------------------------
    def active(self):
        """Number of the active unit that is neither killed nor frozen, of two the one with the newer epoch, or None."""
        status = self.sim.status()
        units = [n for n in (0, 1) if (status["active"] & ~self.killed & ~self.frozen) >> n & 1]
        if len(units) == 2:
            return int((status["epoch_1"] - status["epoch_0"]) & 0xFFFF < 0x8000)
        return units[0] if units else None

    def running(self):
        """Numbers of the units that are neither killed nor frozen: those answer register accesses."""
        return [n for n in (0, 1) if not (self.killed | self.frozen) >> n & 1]

    def stopped(self):
        """What has stopped, in words: "unit 0 is killed, unit 1 is frozen"."""
        return ", ".join(f"unit {n} is {'killed' if self.killed >> n & 1 else 'frozen'}"
                         for n in (0, 1) if n not in self.running())

    def unit(self, name):
        """Number of the running unit called `name`: "active", "standby", "0" or "1".

        Raises ToolError when there is none.
        """
        running, active = self.running(), self.active()
        if name not in ("active", "standby", "0", "1"):
            raise ToolError(f"unit {name!r}: must be active, standby, 0 or 1")
        if not running:
            raise ToolError(f"no unit runs: {self.stopped()}")
        if name in ("0", "1"):
            if int(name) not in running:
                raise ToolError(self.stopped())
            return int(name)
        if active is None:
            raise ToolError("no unit is active" + (f": {self.stopped()}" if self.stopped() else ""))
        if name == "active":
            return active
        if len(running) < 2:
            raise ToolError(f"no standby runs: {self.stopped()}")
        return 1 - active

    def kill(self, name="active"):
        """Kill a unit (see `unit`), until `revive`; returns (number, cycle)."""
        unit = self.unit(name)
        self.sim.kill(unit)
        self.killed |= 1 << unit
        return unit, self.sim.cycle

    def revive(self, unit):
        """Switch a killed unit on: it starts from reset, with its registers set. Raises ToolError if it is not dead."""
        if not self.killed >> unit & 1:
            raise ToolError(f"unit {unit} is not killed")
        self.sim.revive(unit)
        self.killed &= ~(1 << unit)
        self.frozen &= ~(1 << unit)

    def freeze(self, name="active"):
        """Stop the clock of a unit (see `unit`), which keeps its state and may be thawed; returns (number, cycle)."""
        unit = self.unit(name)
        self.sim.freeze(unit)
        self.frozen |= 1 << unit
        return unit, self.sim.cycle

    def thaw(self):
        """Let every frozen unit run again; returns their numbers."""
        units = [n for n in (0, 1) if self.frozen >> n & 1]
        for unit in (0, 1):
            self.sim.freeze(unit, False)
        self.frozen = 0
        return units

    def reprogram(self, image):
        """A new program for every unit that runs, under traffic; returns {unit: [ClusterSwap]}."""
        done = {}
        for unit in self.running():
            swap = Reprogram(self.sim, unit, image)
            for _ in swap:
                self.turn()
            done[unit] = swap.clusters
        return done

    def rate(self):
        """Simulated cycles per second while stepping; before the first step, those it is paced by."""
        return self.cycles_run / self.busy_seconds if self.busy_seconds else self.speed or 0.0
