"""The failures of a demo: the active dies, comes back, and the unit that took over dies."""

__all__ = ["Failure", "SecondFailure"]

REVIVE_AFTER = 3_000        # cycles from the takeover to the return of the dead unit
LOOK = 1_000                # cycles between two looks at the registers


class Failure:
    """A kill of the active unit and the takeover that follows.

    Attributes
    ----------
    killed : tuple, optional
        (unit, cycle).
    takeover_cycle : int, optional
        Cycle in which the other unit became active.
    """

    def __init__(self):
        self.killed: tuple[int, int] | None = None
        self.takeover_cycle: int | None = None

    def mark(self, mark):
        """Take a status mark of the pair."""
        if mark.name == "active" and self.killed is not None and self.takeover_cycle is None:
            unit, cycle = self.killed
            if mark.cycle >= cycle and mark.value >> (1 - unit) & 1:
                self.takeover_cycle = mark.cycle


class SecondFailure(Failure):
    """Switches the killed unit on, waits until the pair is protected again, and kills the other unit.

    Parameters
    ----------
    sim : Simulation
        The pair.
    first : Failure
        What came before.
    kill, revive : callable
        kill() kills the active unit and returns (unit, cycle); revive(unit) switches a unit on.
    kill_bytes : int
        Bytes that have arrived before the kill.

    Attributes
    ----------
    revived, protected : int, optional
        Cycles of what has happened so far.
    resync_clocks : int, optional
        Clocks of the resynchronization.
    """

    def __init__(self, sim, first, kill, revive, kill_bytes):
        super().__init__()
        self.sim, self._first, self._kill, self._revive, self._bytes = sim, first, kill, revive, kill_bytes
        self.revived = self.protected = self.resync_clocks = None
        self._look = 0

    def advance(self, done):
        """Do what is due after the first takeover: `done` bytes have arrived."""
        if self._first.killed is None or self._first.takeover_cycle is None:
            return
        dead, _ = self._first.killed
        if self.revived is None:
            if self.sim.cycle >= self._first.takeover_cycle + REVIVE_AFTER:
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

    def next_action(self):
        """Return the cycle at which advance() has something to do after the first takeover, or None."""
        if self.revived is None:
            return self._first.takeover_cycle + REVIVE_AFTER
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
