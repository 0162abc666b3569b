"""What every connection owes after a takeover: I5. Imports nothing from the RTL packages."""
from dataclasses import dataclass

from .wire import ACK, RST

__all__ = ["Resume"]


@dataclass
class _Expected:
    """A leg that has to be heard of again."""

    due: "int | None"   # ns; None: not before its peer has spoken, for the new active may not know the connection
    known: bool         # a record of it was confirmed before


class Resume:
    """Expectations since the last takeover.

    Parameters
    ----------
    report : Report
        For violations of I5.
    bound : int
        Time to resume, ns.
    """

    def __init__(self, report, bound):
        self.report, self.bound = report, bound
        self._expected = {}     # leg -> _Expected, until the pair sends a segment
        self._spared = {}       # leg protected at the takeover -> time until which the pair may not reset it
        self._owed = {}         # leg -> (offset to acknowledge, time by which)

    def take_over(self, time, legs, protects):
        """Begin with the expectations of a takeover.

        What an earlier takeover has left is judged now: the unit that owed it is gone.

        Parameters
        ----------
        time : int
            ns.
        legs : iterable of SeenLeg
            All.
        protects : callable
            Whether the pair called a leg protected.
        """
        self.finish(time)
        for leg in legs:
            protected = protects(leg)
            if leg.peer and leg.ours and not leg.reset and leg.other and leg.other.peer and not leg.finished():
                due = time + self.bound if protected else None
                self._expected[leg] = _Expected(due, leg.known)
                if protected:
                    self._spared[leg] = due
                    acked = leg.other.ours.acked if leg.other.ours else 0
                    if acked > max(1, leg.ack or 0):
                        self._owed[leg] = acked, due
            leg.known &= protected

    def peer_speaks(self, leg, time):
        """Take note of a segment of the peer: whether or not the connection is known, it gets an answer."""
        expected = self._expected.get(leg)
        if expected is not None and expected.due is None:
            expected.due = time + self.bound

    def pair_speaks(self, leg, frame, segment):
        """Take a segment of the pair, before anything else is judged."""
        expected = self._expected.pop(leg, None)
        if expected is not None:
            self.report.checks["I5"] += 1
            if expected.due is not None and frame.time > expected.due:
                self.report.fail("I5", frame.time,
                                 f"{leg.name()}: first segment {frame.time - expected.due} ns after the bound")
            leg.known |= expected.known and not segment.flags & RST
        if segment.flags & RST:
            if (frame.time <= self._spared.get(leg, -1) and not leg.reset and not leg.finished()
                    and not (leg.other and leg.other.reset)):
                self.report.fail("I5", frame.time, f"{leg.name()}: reset by the takeover, though it was protected")
        elif leg in self._owed and segment.flags & ACK and leg.peer.offset(segment.ack) >= self._owed[leg][0]:
            self._settle(leg, frame.time)

    def _settle(self, leg, time):
        offset, due = self._owed.pop(leg)
        self.report.checks["I5"] += 1
        if time > due and not leg.reset and not leg.other.reset:
            self.report.fail("I5", time, f"{leg.name()}: offset {offset}, acknowledged by the destination before the "
                                         "takeover, is overdue")

    def finish(self, end):
        """Judge what is left at the end of the capture, or at the next takeover."""
        for leg, expected in self._expected.items():
            if expected.due is None:
                continue
            self.report.checks["I5"] += 1
            if end > expected.due and not leg.reset:
                self.report.fail("I5", end, f"{leg.name()}: silent since the takeover")
        for leg in list(self._owed):
            self._settle(leg, end)
        self._expected.clear()
        self._spared.clear()
