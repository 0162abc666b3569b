"""Two functional SPPS between two peers, in ticks: networks with a delay, the sync link, kill and takeover.

Everything that crosses a link is a scheduled action, so a run is a function of its arguments. The capture is a list of
`wire.CapturedFrame` and goes through `monitor.check`: frames of the networks, and records and confirmations where they
arrive.
"""
import heapq
from dataclasses import replace
from itertools import count
from typing import Any

from spps.params import TINY
from spps.ucode.programs import default_image

from ..checker.wire import CapturedFrame
from ..peers import TcpConfig
from ..peers.endpoint import Endpoint
from ..peers.frames import ip_number
from .failover import CONFIRM, ECHO, HEARTBEAT, JOIN, START, STATE, SyncFrame, encode
from .functional import FunctionalSpps

__all__ = ["FunctionalPair", "PEER", "CLIENT_IP", "SERVER_IP", "VIP_0", "VIP_1"]

CLIENT_IP, SERVER_IP, VIP_0, VIP_1 = "10.0.0.2", "10.1.0.2", "10.0.0.1", "10.1.0.1"
SERVER_MAC = "02:00:00:00:01:02"
#: peers whose timers are in the ticks of the units
PEER: dict[str, Any] = {"rto_initial": 1000, "rto_min": 200, "rto_max": 20_000, "msl": 500, "window": 8192,
                        "stamp_cycles": 1}


class FunctionalPair:
    """client -- pair -- server.

    config: overrides of layouts.config. client, server: overrides of TcpConfig. delay, sync_delay: ticks per link.
    standby: False for one unprotected unit. lose(frame number, link, to_peer, data) -> True drops a frame. detect:
    ticks from kill to takeover. seed: see FunctionalSpps. defines: of the program. bases: of the tick counters.
    addresses: of the peers.
    """

    def __init__(self, *, config=None, client=None, server=None, delay=5, sync_delay=2, standby=True, lose=None,
                 detect=30, seed=0, defines=(), units=2, bases=(0, 0), addresses=(CLIENT_IP, SERVER_IP), **spps):
        self.time = 0
        self._heap, self._order, self._serials = [], count(), count(1)
        self.delay, self.sync_delay, self.lose, self.detect = delay, sync_delay, lose, detect
        image = default_image(tuple(defines), connections=spps.get("connections", TINY.connections))
        config = {"mode": 1, "vip_0": ip_number(VIP_0), "vip_1": ip_number(VIP_1), "server_ip": ip_number(addresses[1]),
                  "server_mac_hi": int(SERVER_MAC[:5].replace(":", ""), 16),
                  "server_mac_lo": int(SERVER_MAC[6:].replace(":", ""), 16),
                  } | (config or {})

        def unit(n, active):
            made = FunctionalSpps(n, image, lambda: self.time, config, self._emit, self._record, seed=seed,
                                  active=active, base=bases[n], **spps)
            made.protect, made.tolerant = int(standby), bool(defines)
            return made
        self._unit = unit
        self.units = [unit(n, n == 0) for n in range(2 if standby else 1)]
        self.client = Endpoint("client", "02:00:00:00:00:02", addresses[0], TcpConfig(**PEER | (client or {})), seed=1)
        self.server = Endpoint("server", SERVER_MAC, addresses[1], TcpConfig(**PEER | (server or {})), seed=2)
        self.peers = [self.client, self.server]
        for port, peer in enumerate(self.peers):
            peer.attach(lambda data, port=port: self._from_peer(port, data), lambda: self.time)
        self.capture = []
        self.frames = 0             # TCP frames offered to `lose`
        self.kill_at = None         # (event number of unit 0, how)
        self.killed = None

    @property
    def active(self):
        """The active unit, or None."""
        return next((u for u in self.units if u.alive and u.active), None)

    def _master(self):
        """Return the active unit. Raises AssertionError when there is none."""
        unit = self.active
        assert unit is not None, "both units are dead"
        return unit

    def at(self, delay, action):
        """Call action() in so many ticks."""
        heapq.heappush(self._heap, (self.time + delay, next(self._order), action))

    # links ----------------------------------------------------------------------------------
    def _lost(self, port, to_peer, data):
        if data[12:14] != b"\x08\x00":
            return False
        self.frames += 1
        return self.lose is not None and self.lose(self.frames, port, to_peer, data)

    def _from_peer(self, port, data):
        self.capture.append(CapturedFrame(self.time, ("client", "server")[port], None, data))
        if not self._lost(port, False, data):
            self.at(self.delay, lambda: self._arrive(port, data))

    def _arrive(self, port, data):
        if self.active:
            self.active.frame(port, data)
            self._maybe_kill()

    def _emit(self, unit, port, data):
        if not unit.alive:
            return
        self.capture.append(CapturedFrame(self.time, ("client", "server")[port], unit.name, data))
        if not self._lost(port, True, data):
            self.at(self.delay, lambda: self.peers[port].receive(data))

    def _record(self, unit, number, words):
        if len(self.units) == 1 or not unit.protect:
            return
        other = self.units[1 - unit.name]

        def arrive():
            if self.killed == "lost" and not unit.alive:
                return              # was still in the sync port
            if not other.active and self.units[other.name] is other:
                self._sync(unit, SyncFrame(STATE, unit.epoch, number, words[1] & 0xFFFF, words[1] >> 16 & 3,
                                           lines=tuple(words[2:]), unit=unit.name))
                other.apply(words)
                other.issued = other.confirmed = number     # with which it goes on if it takes over
                self.at(self.sync_delay, confirm)

        def confirm():
            self._sync(other, SyncFrame(CONFIRM, unit.epoch, number, unit=other.name))
            unit.confirm(number)
        self.at(self.sync_delay, arrive)

    def _sync(self, unit, frame):
        frame = replace(frame, serial=next(self._serials))
        self.capture.append(CapturedFrame(self.time, "sync", unit.name, encode(frame)))

    # kill -----------------------------------------------------------------------------------
    def _maybe_kill(self):
        if self.kill_at and self.active is self.units[0] and self.units[0].events >= self.kill_at[0]:
            self.kill(self.kill_at[1])

    def kill(self, how="lost"):
        """Kill the active unit.

        how: "lost": records under way are lost too; "record": they arrive, outputs behind them do not.
        """
        self.kill_at = None
        self.killed = how
        dead = self._master()
        standby = self.units[1 - dead.name]
        dead.alive = False
        standby.hear(dead.now())
        self.at(self.detect, lambda: standby.take_over(dead.epoch + 1))

    def lose_standby(self):
        """Kill the standby; the active goes on without one."""
        active = self._master()
        self.units[1 - active.name].alive, active.protect = False, 0
        self._sync(active, SyncFrame(HEARTBEAT, active.epoch, active.issued, unit=active.name))
        active.open_gate()

    def rejoin(self):
        """A unit that knows nothing takes the place of the dead one and joins; returns it."""
        active = self._master()
        self.units[1 - active.name] = fresh = self._unit(1 - active.name, False)
        self._sync(fresh, SyncFrame(JOIN, active.epoch, 0, unit=fresh.name))
        self._sync(active, SyncFrame(START, active.epoch, active.issued, kind=1, unit=active.name))
        self._sync(fresh, SyncFrame(ECHO, active.epoch, active.issued, unit=fresh.name))
        self._sync(active, SyncFrame(HEARTBEAT, active.epoch, active.issued, kind=1, unit=active.name))
        fresh.issued = fresh.confirmed = active.issued
        active.protect, active.joins = 1, active.joins + 1
        active.kick()
        return fresh

    # time -----------------------------------------------------------------------------------
    def step(self):
        """Go to the next moment at which something happens; return False if nothing ever will."""
        times = [peer.deadline() for peer in self.peers]
        times += [self.time + deadline for u in self.units if (deadline := u.deadline()) is not None]
        if self._heap:
            times.append(self._heap[0][0])
        times = [t for t in times if t is not None]
        if not times:
            return False
        self.time = max(self.time, min(times))
        while self._heap and self._heap[0][0] <= self.time:
            heapq.heappop(self._heap)[2]()
        for peer in self.peers:
            if (deadline := peer.deadline()) is not None and deadline <= self.time:
                peer.tick()
        if self.active and self.active.deadline() == 0:
            self.active.tick()
            self._maybe_kill()
        return True

    def run(self, until=None, limit=2_000_000):
        """Run until until() or nothing is left to happen. TimeoutError after `limit` ticks."""
        end = self.time + limit
        while not (until and until()):
            if not self.step():
                return
            if self.time > end:
                raise TimeoutError(f"at tick {self.time}: {[p.connections for p in self.peers]}")
