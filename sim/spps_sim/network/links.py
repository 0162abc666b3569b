"""A link with faults by seed, and an agenda of timed actions."""
import heapq
import random
from dataclasses import dataclass, fields

__all__ = ["Agenda", "FaultyLink", "LinkFaults"]


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
        """Call action(*arguments) at `time`."""
        self._order += 1
        heapq.heappush(self.heap, (time, self._order, action, arguments))
