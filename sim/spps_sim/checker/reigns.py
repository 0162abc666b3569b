"""Which unit is the active when: roles by epoch, from sync frames and from who emits on the networks.

Derived from the published sync format only (hdl/spps/failover/README.md). Nothing is imported from the RTL packages.
"""
from .reign import Reign
from .wire import CONFIRM, ECHO, HANDOVER, HEARTBEAT, JOIN, START, STATE

__all__ = ["Reigns"]


def _later(epoch, other):
    """Return whether `epoch` comes after `other` (mod 2^16)."""
    return epoch != other and (epoch - other) & 0x8000 == 0


class Reigns:
    """All reigns of a capture.

    Parameters
    ----------
    report : Report
        For violations of I1 (numbers) and I4 (roles).
    taken_over : callable
        Called with (time, Reign that ends) when a unit takes over, before anything of the new reign is judged.
    lossy : bool
        A frame on the sync link may not have arrived.

    Attributes
    ----------
    current : Reign
        The newest one.
    """

    def __init__(self, report, taken_over, *, lossy=False):
        self.report = report
        self.taken_over = taken_over
        self.lossy = lossy
        self.current = Reign(lossy=lossy)
        self._owner = self.current      # the reign of the unit that emits on the networks
        self._last = {}                 # unit -> its last Reign
        self._epoch = None              # newest that a sync frame of an active has named
        self._rejoined = set()          # units that were the active before and have been a standby since

    def _begin(self, unit, epoch, time):
        """Begin a reign: `unit` takes over."""
        ended = self.current
        self.settle()
        if unit in self._last and unit not in self._rejoined:
            self.report.fail("I4", time, f"unit {unit} takes over again, without having been the standby in between")
        self._rejoined.discard(unit)
        self.current = self._last[unit] = Reign(unit, epoch, depends=False, base=ended.applied,
                                                     lossy=self.lossy)
        self.taken_over(time, ended)

    def over(self, epoch):
        """Return whether an epoch is over, so that its records say nothing."""
        return self._epoch is not None and _later(self._epoch, epoch)

    # sync link ---------------------------------------------------------------------------------
    def sync(self, frame, sync, legs):
        """Take a sync frame; legs: those of the connection of a STATE frame, those established by a START."""
        if sync.type in (STATE, HEARTBEAT, START, HANDOVER):
            self._lead(frame, sync, legs)
        elif sync.type == JOIN and frame.unit != self.current.unit and sync.epoch == self.current.epoch:
            self.current.standby_begins_anew()
        elif sync.type in (CONFIRM, ECHO):
            self._answer(frame, sync)

    def _lead(self, frame, sync, legs):
        reign = self._claim(frame, sync.epoch)
        if reign is None:
            return
        if sync.type == HEARTBEAT:
            wrong = reign.heartbeat(sync)
        elif sync.type == START:
            wrong = reign.start(sync, legs)
        elif sync.type == HANDOVER:
            wrong = reign.handover(sync)
        else:
            wrong = reign.record(sync, legs)
        for text in wrong:
            self.report.fail("I1", frame.time, text)
        if sync.type == HEARTBEAT:
            self.settle()

    def _claim(self, frame, epoch):
        """Return the reign of a frame that only an active sends; None if it is of an earlier one, or of none."""
        current, unit = self.current, frame.unit
        if current.unit is None:
            current.unit, current.epoch, self._epoch = unit, epoch, epoch
            self._last[unit] = current
        elif self._epoch is not None and _later(self._epoch, epoch):
            if unit == current.unit and current.epoch is None:
                self.report.fail("I4", frame.time, f"unit {unit} emits in epoch {epoch}, which is over")
            return None
        elif self._epoch is not None and epoch == self._epoch and (unit != current.unit or current.epoch is None):
            if current.epoch is not None or unit == current.unit:
                self.report.fail("I4", frame.time, f"unit {unit} is the active of epoch {epoch}, which has another one")
            return None                 # else the unit that lost its role does not know it yet
        elif unit != current.unit or current.epoch not in (None, epoch):
            self._begin(unit, epoch, frame.time)
        self.current.epoch = self._epoch = epoch
        return self.current

    def _answer(self, frame, sync):
        current, unit = self.current, frame.unit
        if unit == current.unit or sync.epoch != current.epoch:
            return                      # of a unit that does not know of the takeover yet, or of no standby
        if unit in self._last:
            self._rejoined.add(unit)
        for text in current.answer(sync):
            self.report.fail("I5", frame.time, text)

    # networks ----------------------------------------------------------------------------------
    def emits(self, frame):
        """Take note that a unit emits on a network; return the reign by which its frame is judged."""
        unit, current = frame.unit, self.current
        self.report.checks["I4"] += 1
        if current.unit is None:
            current.unit = unit
            self._last[unit] = current
        if unit == current.unit:
            if current.yielded:
                self.report.fail("I4", frame.time, f"unit {unit} emits on the {frame.link} link after its HANDOVER")
            if self._owner is not current:      # the sync link has shown this takeover first
                self.report.takeovers.append(frame.time)
                self._owner = current
        elif unit in self._last and unit not in self._rejoined:
            if self._owner is current:
                self.report.fail("I4", frame.time,
                                 f"unit {unit} emits on the {frame.link} link after unit {current.unit} took over")
        else:
            self._begin(unit, None, frame.time)
            self._owner = self.current
            self.report.takeovers.append(frame.time)
        return self._last[unit]

    def settle(self):
        """Report the doubts that nothing has removed: the unit was protected all the time."""
        for time, text in self.current.settle():
            self.report.fail("I1", time, text)
