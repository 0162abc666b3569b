"""The part of a run in which cores are watched, and what is shown of it."""
from dataclasses import dataclass

from spps.tools.errors import ToolError

from .activity import ActivityReader

__all__ = ["TraceOptions", "TraceWindow"]


@dataclass(frozen=True)
class TraceOptions:
    """What is shown of a trace.

    Parameters
    ----------
    conn : int, optional
        Whose events; None: those of the connection with the most.
    around : str
        "kill", or "open" for the first events of the run.
    events : int
        Number before and after the kill each, or of the first ones.
    steps : bool
        With source lines in the text.
    early : bool
        Watch from the beginning of the run, not from shortly before the kill.

    Raises
    ------
    ValueError
        When `around` is neither.
    """

    conn: int | None = None
    around: str = "kill"
    events: int = 6
    steps: bool = True
    early: bool = False

    def __post_init__(self):
        if self.around not in ("kill", "open"):
            raise ValueError(f"around={self.around!r}: must be kill or open")


class TraceWindow:
    """Watches the cores of a Simulation from open() to close(); entries() has what the options ask for."""

    def __init__(self, sim, options):
        self.sim, self.options = sim, options
        self.is_open = False
        self._noted, self._began = [], None

    def open(self):
        """Watch from now on."""
        if not self.options.early:          # the buses may be busy
            self._began = self.sim.cycle
        self.sim.watch()
        self.is_open = True

    def close(self):
        """Stop watching; no error when it is not open."""
        if self.is_open:
            self.sim.watch(False)
            self._noted += self.sim.pop_activity()
            self.is_open = False

    def entries(self, kill_cycle, frames):
        """Return (TraceEntries in order, their connection); ([], None) where nothing was seen.

        Parameters
        ----------
        kill_cycle : int, optional
            Cycle of the kill.
        frames : list of CapturedFrame
            Of the run.

        Raises
        ------
        ToolError
            When there is no event of the connection asked for.
        """
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
            raise ToolError(f"conn={conn}: no event of it was seen; "
                            f"there are events of {', '.join(map(str, sorted(set(conns))))}")
        mine, count = [entry for entry in entries if entry.conn == conn], self.options.events
        if self.options.around == "open" or kill_cycle is None:
            return mine[:count], conn
        before = [entry for entry in mine if entry.start < kill_cycle]
        return before[-count:] + mine[len(before):][:count], conn
