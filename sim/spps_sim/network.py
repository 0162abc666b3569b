"""Links in simulated time: Python peers, a pair (or nothing) between them, and faults by seed.

A frame sent by a peer at time t is offered to the pair at t + latency; a frame that left the pair at t reaches
the peer at t + latency. Faults act on the wire between peer and pair, in either direction.
"""
import heapq
import random
from dataclasses import dataclass, fields

from .backend import FrameKind, Stop

__all__ = ["LinkFaults", "SimulatedNetwork", "Wire"]


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


class _Clock:
    """Heap of timed actions; actions of one time run in the order they were planned."""

    def __init__(self):
        self.heap, self._order = [], 0

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
        self.faults = faults or LinkFaults()
        self._random = random.Random(f"network/{seed}")
        self._clock = _Clock()
        self.peers = {}             # port -> list of peers
        self.on_wire = lambda time, port, what, data: None
        self.on_frame = lambda frame: None
        self.on_mark = lambda mark: None
        self.fates = dict.fromkeys(("lost", "duplicate", "late", "corrupt"), 0)
        self.time = sim.cycle

    def attach(self, port, peer):
        """Put a peer on a port; several peers on a port share it as on a hub."""
        self.peers.setdefault(port, []).append(peer)
        peer.attach(lambda data: self._from_peer(port, data), lambda: self.time)

    # wires ---------------------------------------------------------------------------------
    def _deliver(self, port, data, action):
        """Plan `action(port, data)` after the link, with faults."""
        f, r, time = self.faults, self._random, self.time + self.latency
        if f.loss and r.random() < f.loss:
            self._fate(port, data, "lost")
            return
        if f.corrupt and data[12:14] == b"\x08\x00" and r.random() < f.corrupt:    # ARP has no checksum
            self._fate(port, data, "corrupt")
            at = r.randrange(14, len(data))
            data = data[:at] + bytes([data[at] ^ (1 << r.randrange(8))]) + data[at + 1:]
        if f.duplicate and r.random() < f.duplicate:
            self._fate(port, data, "duplicate")
            self._clock.plan(time + r.randrange(1, f.jitter), action, port, data)
        if f.reorder and r.random() < f.reorder:
            self._fate(port, data, "late")
            time += r.randrange(1, f.jitter)
        self._clock.plan(time, action, port, data)

    def _fate(self, port, data, fate):
        self.fates[fate] += 1
        self.on_wire(self.time, port, fate, data)

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
        while self._clock.heap and self._clock.heap[0][0] <= self.time:
            _, _, action, arguments = heapq.heappop(self._clock.heap)
            action(*arguments)
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
