"""The registers of a running pair, as `spps ctl` shows and writes them."""
from difflib import get_close_matches
from itertools import pairwise

from spps.mmc import spps_map
from spps.tools.errors import ToolError

__all__ = ["HIDDEN", "LiveRegisters"]

HIDDEN = "hidden"       # what is shown in place of a key
CHUNK = 16              # register accesses between two turns of the testbed
#: times of the lease in ascending order, clocks; 0: not used
TIMES = ("hb_interval", "lease", "takeover_after")
SHOWN = ("rw", "wo", "ro", "const", "counter")


class LiveRegisters:
    """Access to the registers of the running units by name.

    A name of a configuration word may be given without its prefix `cfg_`. Errors are ToolErrors, raised before anything
    is written.

    Parameters
    ----------
    testbed : Testbed
        Its running units are accessed; it makes turns between accesses, so that traffic goes on.
    """

    def __init__(self, testbed):
        self.testbed = testbed
        self.map = spps_map(testbed.params)

    def find(self, name):
        """(full name, Register). Raises ToolError with the names that are similar."""
        for full in (name, f"cfg_{name}"):
            if full in self.map.by_name:
                return full, self.map.by_address[self.map.by_name[full]]
        names = {full.removeprefix("cfg_"): full for full in self.map.by_name}
        names |= {full: full for full in self.map.by_name}
        near = [full for full in sorted(names, key=len) if name and name in full] + get_close_matches(name, names, 5)
        near = list(dict.fromkeys(names[match] for match in near))[:5]
        hint = f"similar: {', '.join(near)}" if near else "`spps ctl stats` lists all"
        raise ToolError(f"no register {name!r}; {hint}")

    def running(self):
        """Numbers of the running units. Raises ToolError when there is none."""
        running = self.testbed.running()
        if not running:
            raise ToolError(f"no unit runs: {self.testbed.stopped()}")
        return running

    def get(self, name):
        """{unit: value} of a register of each running unit. Raises ToolError for a key."""
        full, register = self.find(name)
        if register.secret:
            raise ToolError(f"{full} is a key: it can be set, not read")
        if register.access not in SHOWN:
            raise ToolError(f"{full} has no value to read: it belongs to a window or is a pulse")
        return full, {unit: self.testbed.sim.read(unit, full) for unit in self.running()}

    def set(self, name, value):
        """Write a register of each running unit; returns (full name, units). A stopped one gets the value later.

        Raises ToolError for an unknown name, a register that cannot be written, and a value that does not fit.
        """
        full, register = self.find(name)
        if register.access in ("ro", "const", "fetch"):
            raise ToolError(f"{full} is read-only")
        if register.access == "window":
            raise ToolError(f"{full} belongs to a window that `spps ctl reprogram` and `spps ctl connections` use")
        if register.access == "counter" and value:
            raise ToolError(f"{full} is a counter: only 0 can be written, which clears it")
        if not register.least <= value <= register.highest:
            bits = "" if register.limits() else f" ({register.width} bits)"
            raise ToolError(f"{full}={value}: must be from {register.least} to {register.highest}{bits}")
        units = self.running()
        if full in TIMES:
            self._check_times(full, value, units)
        for unit in (0, 1) if register.access in ("rw", "wo") else units:
            self.testbed.sim.write(unit, full, value)
        return full, units

    def _check_times(self, name, value, units):
        """Refuse a time with which a standby would take over from an active unit that lives."""
        for unit in units:
            times = {other: self.testbed.sim.read(unit, other) for other in TIMES} | {name: value}
            set_ = [other for other in TIMES if times[other]]
            for low, high in pairwise(set_):
                if times[low] >= times[high] and name in (low, high):
                    other = high if name == low else low
                    raise ToolError(f"{name}={value}: must be {'less' if name == low else 'more'} than {other} "
                                    f"({times[other]} in unit {unit})")

    def read_all(self, unit, access=SHOWN):
        """{name: value} of a unit's registers of these kinds; keys are HIDDEN. Makes turns meanwhile."""
        values = {}
        for number, (_, register) in enumerate(self.map.of(*access)):
            values[register.name] = HIDDEN if register.secret else self.testbed.sim.read(unit, register.name)
            if number % CHUNK == CHUNK - 1:
                self.testbed.turn()
        return values

    def stats(self):
        """{unit: {name: value}} of every running unit."""
        return {unit: self.read_all(unit) for unit in self.running()}
