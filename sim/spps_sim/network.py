"""Links in simulated time: Python peers, a pair (or nothing) between them, and faults by seed.

A frame sent by a peer at time t is offered to the pair at t + latency; a frame that left the pair at t reaches
the peer at t + latency. Faults act on the wire between peer and pair, in either direction.
"""
import heapq
import random
from dataclasses import dataclass, fields

from .backend import FrameKind, Stop

__all__ = ["Agenda", "FaultyLink", "LinkFaults", "SimulatedNetwork", "Wire"]


@dataclass(frozen=True)
class LinkFaults:
    """Probabilities per frame, 0 to 1. A reordered frame is late by up to `jitter` cycles."""
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    jitter: int = 2000

    def __post_init__(self):
        for f in fields(self)[:4]:
            if not 0 <= getattr(self, f.name) <= 1:
                raise ValueError(f"{f.name}={getattr(self, f.name)}: must be from 0 to 1")


class FaultyLink:
    """Decides by seed what becomes of each frame. fates: how many suffered what."""

    def __init__(self, faults=None, seed=0):
        self.faults = faults or LinkFaults()
        self._random = random.Random(f"network/{seed}")
        self.fates = dict.fromkeys(("lost", "duplicate", "late", "corrupt"), 0)

    def carry(self, data, note=lambda fate: None):
        """[(extra cycles, bytes)] that arrive of a frame; note(fate) is called with what happened to it."""
        f, r = self.faults, self._random

        def happens(probability, fate):
            if not probability or r.random() >= probability:
                return False
            self.fates[fate] += 1
            note(fate)
            return True

        if happens(f.loss, "lost"):
            return []
        if data[12:14] == b"\x08\x00" and happens(f.corrupt, "corrupt"):     # ARP has no checksum
            at = r.randrange(14, len(data))
            data = data[:at] + bytes([data[at] ^ (1 << r.randrange(8))]) + data[at + 1:]
        arrive = [(r.randrange(1, f.jitter), data)] if happens(f.duplicate, "duplicate") else []
        return [*arrive, (r.randrange(1, f.jitter) if happens(f.reorder, "late") else 0, data)]


class Agenda:
    """Heap of timed actions; actions of one time run in the order they were planned."""

    def __init__(self):
        self.heap, self._order = [], 0

    def do(self, time):
        """Run what is due at `time`."""
        while self.heap and self.heap[0][0] <= time:
            _, _, action, arguments = heapq.heappop(self.heap)
            action(*arguments)

    def plan(self, time, action, *arguments):
        self._order += 1
        heapq.heappush(self.heap, (time, self._order, action, arguments))


class SimulatedNetwork:
    """Peers on the ports of a Simulation.

    sim: Simulation. latency: cycles of each link, one way. faults: LinkFaults. seed: of the faults.
    Observers: on_frame(RawFrame) and on_mark(Mark) of the pair; on_wire(time, port, what, data) at the far end of the links:
    "sent" and "received" by a peer, and what the link did on the way: "lost", "duplicate", "late", "corrupt".
    """

    def __init__(self, sim, latency=100, faults=None, seed=0):
        self.sim, self.latency = sim, latency
        self.link = FaultyLink(faults, seed)
        self._clock = Agenda()
        self.peers = {}             # port -> list of peers
        self.on_wire = lambda time, port, what, data: None
        self.on_frame = lambda frame: None
        self.on_mark = lambda mark: None
        self.time = sim.cycle

    def attach(self, port, peer):
        """Put a peer on a port; several peers on a port share it as on a hub."""
        self.peers.setdefault(port, []).append(peer)
        peer.attach(lambda data: self._from_peer(port, data), lambda: self.time)

    # wires ---------------------------------------------------------------------------------
    def _deliver(self, port, data, action):
        """Plan `action(port, data)` after the link, with faults."""
        for late, arriving in self.link.carry(data, lambda fate: self.on_wire(self.time, port, fate, data)):
            self._clock.plan(self.time + self.latency + late, action, port, arriving)

    def _from_peer(self, port, data):
        self.on_wire(self.time, port, "sent", data)
        self._deliver(port, data, self.sim.push_frame)

    def _to_peer(self, port, data):
        self.on_wire(self.time, port, "received", data)
        for peer in self.peers.get(port, ()):
            if data[0] & 1 or data[:6] == peer.mac:
                peer.receive(data)

    # time ----------------------------------------------------------------------------------
    def _collect(self):
        """Frames the pair has completed go on their way."""
        for frame in self.sim.pop_frames():
            if frame.kind is FrameKind.OUT:
                self.time = max(self.time, frame.cycle)
                if not frame.err:
                    self._deliver(frame.side, frame.data, self._to_peer)
            self.on_frame(frame)
        for mark in self.sim.pop_marks():
            self.on_mark(mark)

    def _next(self):
        """Time of the next action or peer timer, or None."""
        times = [self._clock.heap[0][0]] if self._clock.heap else []
        times += [t for peers in self.peers.values() for p in peers if (t := p.deadline()) is not None]
        return min(times, default=None)

    def _due(self):
        self._clock.do(self.time)
        for peers in self.peers.values():
            for peer in peers:
                deadline = peer.deadline()
                if deadline is not None and deadline <= self.time:
                    peer.tick()

    def run_until(self, time, done=None):
        """Run to cycle `time`, or until done() is true after something happened at a peer. Returns done()."""
        while self.time < time:
            upcoming = self._next()
            target = time if upcoming is None else min(time, max(upcoming, self.time))
            if target > self.sim.cycle:
                # a frame that leaves now cannot reach a peer before `latency` has passed
                self.sim.step(target - self.sim.cycle, Stop.OUT)
            self._collect()
            self.time = self.sim.cycle
            self._due()
            if done is not None and done():
                return True
        return done() if done is not None else False


class Wire:
    """Two peers without a pair between them: a Simulation-like pipe with no latency of its own."""

    def __init__(self):
        self.cycle = 0
        self._frames = []

    def step(self, cycles, stop=Stop.NONE):
        self.cycle += 0 if self._frames else cycles
        return Stop.OUT if self._frames else Stop.NONE

    def push_frame(self, port, data, err=False):
        from .backend import RawFrame
        self._frames.append(RawFrame(FrameKind.OUT, port ^ 1, self.cycle, self.cycle, data))

    def pop_frames(self):
        frames, self._frames = self._frames, []
        return frames

    def pop_marks(self):
        return []
