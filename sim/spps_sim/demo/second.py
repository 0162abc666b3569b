"""The second half of a demo: the dead unit comes back, and the one that took over dies."""

__all__ = ["SecondFailure"]

REVIVE_AFTER = 3_000       # cycles from the takeover to the return of the dead unit
LOOK = 1_000                # cycles between two looks at the registers


class SecondFailure:
    """Switches the killed unit on, waits until the pair is protected again, and kills the other unit.

    Parameters
    ----------
    sim : Simulation
        The pair.
    kill, revive : callable
        kill() kills the active unit and returns (unit, cycle); revive(unit) switches a unit on.
    kill_bytes : int
        Bytes that have arrived before the kill.

    Attributes
    ----------
    revived, protected, takeover_cycle : int, optional
        Cycles of what has happened so far.
    resync_clocks : int, optional
        Clocks of the resynchronization.
    killed : tuple, optional
        (unit, cycle).
    """

    def __init__(self, sim, kill, revive, kill_bytes):
        self.sim, self._kill, self._revive, self._bytes = sim, kill, revive, kill_bytes
        self.revived = self.protected = self.resync_clocks = self.killed = self.takeover_cycle = None
        self._look = 0

    def mark(self, mark):
        """Take a status mark of the pair."""
        if mark.name == "active" and self.killed is not None and self.takeover_cycle is None:
            unit, cycle = self.killed
            if mark.cycle >= cycle and mark.value >> (1 - unit) & 1:
                self.takeover_cycle = mark.cycle

    def advance(self, done, dead, takeover):
        """Do what is due: `done` bytes have arrived; unit `dead` was killed, the other one took over at `takeover`."""
        if self.revived is None:
            if self.sim.cycle >= takeover + REVIVE_AFTER:
                self._revive(dead)
                self.revived = self.sim.cycle
        elif self.killed is None and self.sim.cycle >= self._look:
            self._look = self.sim.cycle + LOOK
            says = {name: self.sim.read(1 - dead, name) for name in ("joined", "resync", "exposed")}
            if says["joined"] and not says["resync"]:
                if self.protected is None:
                    self.protected, self.resync_clocks = self.sim.cycle, self.sim.read(1 - dead, "resync_clocks")
                if done >= self._bytes and not says["exposed"]:
                    self.killed = self._kill()

    def next_action(self, takeover):
        """Return the cycle at which advance() has something to do, or None."""
        if self.revived is None:
            return takeover + REVIVE_AFTER
        return self._look if self.killed is None else None

    def summary(self):
        """Return what the summary of the demo says of it."""
        said = {"revived_cycle": self.revived, "protected_cycle": self.protected, "resync_cycles": self.resync_clocks}
        if self.killed is not None:
            unit, cycle = self.killed
            said |= {"second_kill_cycle": cycle, "second_killed_unit": unit}
            if self.takeover_cycle is not None:
                said["second_takeover_cycles"] = self.takeover_cycle - cycle
        return {name: value for name, value in said.items() if value is not None}
