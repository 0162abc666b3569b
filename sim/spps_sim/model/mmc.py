"""Reference model of the register file: what a host reads back."""

__all__ = ["Registers", "UNKNOWN"]

UNKNOWN = 0xDEADBEEF


class Registers:
    """A register file as its documentation describes it.

    table: {address: (access, width, reset)}, access as in the documentation. `status` and `counts` are set by the
    bench.
    """

    def __init__(self, table, bad_address):
        self.table, self.bad_address = table, bad_address
        self.values = {a: reset for a, (access, _, reset) in table.items() if access in ("rw", "const", "window")}
        self.counts = {a: 0 for a, (access, _, _) in table.items() if access == "counter"}
        self.status = {}

    def _bad(self):
        self.counts[self.bad_address] += 1

    def write(self, address, value):
        """Write a register."""
        access, width, _ = self.table.get(address, (None, 0, 0))
        if access in ("rw", "window"):
            self.values[address] = value % (1 << width)
        elif access == "counter":
            self.counts[address] = 0
        elif access not in ("pulse", "wo"):
            self._bad()

    def read(self, address):
        """Return what a read answers."""
        access = self.table.get(address, (None,))[0]
        if access is None:
            self._bad()
            return UNKNOWN
        if access == "counter":
            return self.counts[address] % (1 << 32)
        return self.status.get(address, 0) if access == "ro" else self.values.get(address, 0)
