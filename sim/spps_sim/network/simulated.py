"""Python peers around a pair, or around nothing, in simulated time.

A frame sent by a peer at time t is offered to the pair at t + latency; a frame that left the pair at t reaches
the peer at t + latency. Faults act on the wire between peer and pair, in either direction.
"""
from collections.abc import Callable

from ..backend.interface import FrameKind, Mark, RawFrame, Stop
from .links import Agenda, FaultyLink

__all__ = ["SimulatedNetwork", "Wire"]


class SimulatedNetwork:
    """Peers on the ports of a Simulation.

    sim: Simulation. latency: cycles of each link, one way. faults: LinkFaults. seed: of the faults.
    Observers: on_frame(RawFrame) and on_mark(Mark) of the pair; on_wire(time, port, what, data) at the far end of the
    links: "sent" and "received" by a peer, and what the link did on the way: "lost", "duplicate", "late", "corrupt".
    """

    def __init__(self, sim, latency=100, faults=None, seed=0):
        self.sim, self.latency = sim, latency
        self.link = FaultyLink(faults, seed)
        self._clock = Agenda()
        self.peers = {}             # port -> list of peers
        self.on_wire: Callable[[int, int, str, bytes], object] = lambda time, port, what, data: None
        self.on_frame: Callable[[RawFrame], object] = lambda frame: None
        self.on_mark: Callable[[Mark], object] = lambda mark: None
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
        """Let time pass unless a frame waits."""
        self.cycle += 0 if self._frames else cycles
        return Stop.OUT if self._frames else Stop.NONE

    def push_frame(self, port, data, err=False):
        """Put a frame in at `port`; it comes out at the other."""
        self._frames.append(RawFrame(FrameKind.OUT, port ^ 1, self.cycle, self.cycle, data))

    def pop_frames(self):
        """Frames that have come out since the last call."""
        frames, self._frames = self._frames, []
        return frames

    def pop_marks(self):
        """No status, hence no marks."""
        return []
