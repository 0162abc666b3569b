"""The part of a run in which cores are watched, and what is shown of it: one connection around the kill, or from its beginning."""
from dataclasses import dataclass

from spps.tools.errors import ToolError

from .activity import ActivityReader

__all__ = ["TraceOptions", "TraceWindow"]


@dataclass(frozen=True)
class TraceOptions:
    """conn: whose events, None: of the connection with the most. around: "kill", or "open" for the first ones. events: how many, before
    and after the kill each. steps: with source lines in text. early: watch from the beginning of the run, not from shortly before the kill."""
    conn: int | None = None
    around: str = "kill"
    events: int = 6
    steps: bool = True
    early: bool = False

    def __post_init__(self):
        if self.around not in ("kill", "open"):
            raise ValueError(f"around={self.around!r}: must be kill or open")


class TraceWindow:
    """open() and close() watch the cores of a Simulation; entries() are those of `options`, oldest first."""

    def __init__(self, sim, options):
        self.sim, self.options = sim, options
        self.is_open = False
        self._noted, self._began = [], None

    def open(self):
        if not self.options.early:          # the buses may be busy
            self._began = self.sim.cycle
        self.sim.watch()
        self.is_open = True

    def close(self):
        """No error when it is not open."""
        if self.is_open:
            self.sim.watch(False)
            self._noted += self.sim.pop_activity()
            self.is_open = False

    def entries(self, kill_cycle, frames):
        """TraceEntries, and their connection; ([], None) where nothing was seen. frames: wire.CapturedFrames of the run."""
        if not self._noted:
            return [], None
        from spps.ucode.programs import default_image

        from .trace import Tracer
        reader = ActivityReader(self.sim.params, begin=self._began)
        reader.feed(self._noted)
        tracer = Tracer(self.sim.params, default_image(imem_words=self.sim.params.imem_words))
        tracer.learn(frames)
        entries = [tracer.entry(event) for event in reader.events if event.ended]
        conns = [entry.conn for entry in entries if entry.conn is not None]
        conn = self.options.conn
        if conn is None:
            conn = max(sorted(set(conns)), key=conns.count, default=None)
        elif conn not in conns:
            raise ToolError(f"conn={conn}: no event of it was seen; there are events of {', '.join(map(str, sorted(set(conns))))}")
        mine, count = [entry for entry in entries if entry.conn == conn], self.options.events
        if self.options.around == "open" or kill_cycle is None:
            return mine[:count], conn
        before = [entry for entry in mine if entry.start < kill_cycle]
        return before[-count:] + mine[len(before):][:count], conn
