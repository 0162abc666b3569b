"""What every simulation of a pair offers to `Simulation`, and the records that cross this boundary.

Two backends exist: `verilated.VerilatedPair` (the RTL) and `fake.FakePair` (a plain Python pipe, which
tests peers, captures and campaigns without RTL).
"""
from dataclasses import dataclass, fields
from enum import IntEnum, IntFlag
from typing import NamedTuple, Protocol

__all__ = ["Activity", "FrameKind", "RawFrame", "Mark", "Stop", "STATUS_WORDS", "SyncFaults", "Backend"]

#: status words in the order of the native library
STATUS_WORDS = ("active", "epoch_0", "epoch_1", "issued_0", "issued_1", "confirmed_0", "confirmed_1",
                "delivered_0", "delivered_1", "done_0", "done_1", "copied_0", "copied_1")


class FrameKind(IntEnum):
    """Where a frame was seen."""

    OUT = 0     # left the pair on `port`
    SYNC0 = 1   # unit 0 sent it on the sync link
    SYNC1 = 2   # unit 1 sent it on the sync link
    IN = 3      # the pair took its last word on `port`


UNIT_SHIFT = 4      # of `port` of frames that left the pair: the unit that emitted them


class RawFrame(NamedTuple):
    """A whole frame. port: as the pair gave it. start, cycle: when its first and its last word was transferred."""

    kind: FrameKind
    port: int
    start: int
    cycle: int
    data: bytes
    err: bool = False

    @property
    def side(self):
        """0: client network, 1: server network."""
        return self.port & (1 << UNIT_SHIFT) - 1

    @property
    def unit(self):
        """The SPPS that emitted it; None for frames from outside."""
        if self.kind is FrameKind.IN:
            return None
        return self.port >> UNIT_SHIFT if self.kind is FrameKind.OUT else self.kind - FrameKind.SYNC0


class Mark(NamedTuple):
    """Status word `name` took `value` in `cycle`."""

    cycle: int
    name: str
    value: int


class Activity(NamedTuple):
    """What the cores of `unit` did in `cycle`: a number with the layout of spps.layouts.activity."""

    cycle: int
    unit: int
    bits: int


class Stop(IntFlag):
    """Why `step` returned early, and what it may stop for."""

    NONE = 0
    OUT = 1     # a frame left the pair
    SYNC = 2    # a sync frame is complete
    ROLE = 4    # a role bit changed
    IN = 8      # a frame was taken in whole


@dataclass(frozen=True)
class SyncFaults:
    """What one direction of the sync link does to its frames; nothing by default. See spps.failover.FaultyLink.

    Parameters
    ----------
    loss, duplicate, reorder, corrupt, truncate, replay : float
        Share of the frames, 0 to 1, in steps of 1/256: lost; delivered twice; held back while later ones pass; with one
        wrong bit; cut short; delivered again some thousand cycles later.
    delay : int
        Cycles that each frame waits.
    cut : bool
        All frames are lost.
    silent : bool
        The receiver's FCS does not notice wrong bits and missing ends.
    seed : int
        Of the random numbers; taken when the faults begin.

    Raises
    ------
    ValueError
        A share is not from 0 to 1, or `delay` or `seed` has not 16 or 32 bits.
    """

    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    truncate: float = 0.0
    replay: float = 0.0
    delay: int = 0
    cut: bool = False
    silent: bool = False
    seed: int = 1

    def __post_init__(self):
        for name in self._shares():
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be a share from 0 to 1")
        for name, bits in (("delay", 16), ("seed", 32)):
            if not 0 <= getattr(self, name) < 1 << bits:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be from 0 to {(1 << bits) - 1}")

    @classmethod
    def _shares(cls):
        return [f.name for f in fields(cls) if f.type in (float, "float")]

    def control(self):
        """Return the fields of spps.failover.LinkControl."""
        shares = {name: min(round(getattr(self, name) * 256), 255) for name in self._shares()}
        return {**shares, "delay": self.delay, "cut": int(self.cut), "silent": int(self.silent), "seed": self.seed,
                "enable": int(self.cut or self.delay > 0 or any(shares.values()))}


class Backend(Protocol):
    """A pair under simulation. It must survive os.fork(): no threads, no shared files."""

    cycle: int
    width: int

    def step(self, cycles: int, stop: Stop = Stop.NONE) -> Stop:
        """Run at most `cycles`; returns what happened, and early when something named in `stop` did."""
        ...

    def push_frame(self, port: int, data: bytes, err: bool = False) -> None:
        """Queue a frame at the input."""
        ...

    def pending(self) -> int:
        """Frames queued at the input and not yet taken whole."""
        ...

    def pop_frame(self) -> "RawFrame | None":
        """The oldest complete frame of any kind, or None."""
        ...

    def pop_marks(self) -> "list[Mark]":
        """Changes of status words since the last call, oldest first."""
        ...

    def watch(self, on: bool = True) -> None:
        """Note from now on what the cores do, or stop noting it."""
        ...

    def pop_activity(self) -> "list[Activity]":
        """Activities noted since the last call, oldest first."""
        ...

    def register(self, unit: int, address: int, data: "int | None" = None) -> int:
        """Read a register by address, or write `data` to it (returns 0)."""
        ...

    def controls(self, kill: int, freeze: int, detector: int, appoint: int = 0, power_up: int = 0) -> None:
        """Set the two-bit control inputs, bit n for unit n."""
        ...

    def link(self, unit: int, faults: SyncFaults) -> None:
        """Set what the sync link does to the frames that `unit` sends."""
        ...

    def status(self) -> "dict[str, int]":
        """The status words by name."""
        ...

    def trace_open(self, path) -> None:
        """Start a waveform."""
        ...

    def trace_close(self) -> None:
        """End the waveform."""
        ...
