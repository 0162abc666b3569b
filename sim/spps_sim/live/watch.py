"""One line per event of a running pair: kills, takeovers, lost leases, changes of protection."""
import time
from typing import NamedTuple

from .status import protection_text, read_units, stopped_text

__all__ = ["PairEvent", "PairWatch"]

EVERY = 10_000      # cycles between two looks at the registers


class PairEvent(NamedTuple):
    """Something that happened to a unit. time: seconds since 1970; cycle: of the simulation."""

    time: float
    cycle: int
    unit: int
    what: str

    def __str__(self):
        wall = time.strftime("%H:%M:%S", time.localtime(self.time)) + f".{int(self.time * 1000) % 1000:03d}"
        return f"{wall} cycle {self.cycle}: unit {self.unit} {self.what}"


class PairWatch:
    """Finds the events of a pair in its status words, its registers and the controls of the testbed.

    `look` is called after each turn. It reads registers every `every` cycles, so that what is shorter may be missed.
    The cycle of a takeover is exact, that of another event is when it was seen. It takes the marks of the simulation.

    Parameters
    ----------
    testbed : Testbed
        The pair.
    say : callable
        Called with each PairEvent, in order.
    every : int
        Cycles between two looks at the registers.
    clock : callable
        Wall time in seconds.
    """

    def __init__(self, testbed, say, *, every=EVERY, clock=time.time):
        self.testbed, self.say, self.every, self.clock = testbed, say, every, clock
        self._killed, self._frozen = testbed.killed, testbed.frozen
        testbed.sim.pop_marks()
        self._active = testbed.sim.status()["active"]
        self._units = read_units(testbed)
        self._next = testbed.sim.cycle + every

    def _event(self, unit, what, cycle=None):
        self.say(PairEvent(self.clock(), self.testbed.sim.cycle if cycle is None else cycle, unit, what))

    def look(self):
        """Report what has happened since the last look."""
        testbed = self.testbed
        for bits, before, on, off in ((testbed.killed, self._killed, "killed", "switched on"),
                                      (testbed.frozen, self._frozen, "frozen", "thawed")):
            for unit in (0, 1):
                if (bits ^ before) >> unit & 1:
                    self._event(unit, on + self._left() if bits >> unit & 1 else off)
                    if not bits >> unit & 1:
                        self._units[unit] = {"unit": unit, "state": "off"}
        self._killed, self._frozen = testbed.killed, testbed.frozen
        changed = False
        for mark in testbed.sim.pop_marks():
            if mark.name == "active":
                changed = True
                self._role(mark)
        if changed or testbed.sim.cycle >= self._next:
            self._registers()
            self._next = testbed.sim.cycle + self.every

    def _left(self):
        """What else to say of a unit that stops: nothing while the other one runs."""
        if self.testbed.running():
            return ""
        return f"; {stopped_text(self.testbed.killed == 3)}"

    def _role(self, mark):
        for unit in (0, 1):
            if (mark.value ^ self._active) >> unit & 1:
                if mark.value >> unit & 1:
                    epoch = self.testbed.sim.status()[f"epoch_{unit}"]
                    self._event(unit, f"takes over: active, epoch {epoch}", mark.cycle)
                else:
                    self._event(unit, "is no longer active", mark.cycle)
        self._active = mark.value

    def _registers(self):
        before, self._units = self._units, read_units(self.testbed)
        limit = self.testbed.params.connections
        for old, new in zip(before, self._units):
            unit = new["unit"]
            if "fenced" not in new:         # stopped: its registers do not answer
                self._units[unit] = {**old, **new}
                continue
            if new["state"] == "standby" and new["joined"] and not (old.get("joined") and old["state"] == "standby"):
                self._event(unit, "has joined as the standby")
            if new["fenced"] != old.get("fenced", 0):
                fenced = "fenced: the other unit has taken over from it"
                self._event(unit, fenced if new["fenced"] else "no longer fenced")
            if "protection" in new:
                if new["protection"] != old.get("protection"):
                    lost = "lease lost; " if new["protection"] == "stalled" and old.get("lease_valid") else ""
                    self._event(unit, f"{lost}connections are "
                                      + protection_text(new["protection"], 1 - unit, new["exposed"]))
                if (new["in_use"] >= limit) != (old.get("in_use", 0) >= limit):
                    self._event(unit, f"connection table {'full' if new['in_use'] >= limit else 'no longer full'}: "
                                      f"{new['in_use']} of {limit} in use")
