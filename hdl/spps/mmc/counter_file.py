"""Many 32-bit counters in one block RAM."""
from amaranth.hdl import Array, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CounterFile"]


class CounterFile(wiring.Component):
    """Counts pulses; small counters collect them, and a sweep adds one of them per clock to its total in block RAM.

    A sweep visits every counter once per `n` clocks, so a small counter of log2(n) bits never overflows, whatever comes.
    Source: none; measured against a register per counter in mmc/README.md.
    Parameters: n: counters.
    Members:
        pulse: bit k counts one for counter k.
        select, read, clear: hold read or clear with the number until `done`; value: the total up to that clock.
    Latency: up to n clocks to `done`. Throughput: one access per sweep. Backpressure, Drop: none; a pulse in the clock
    of a clear is kept. Reset: all zero, by the first sweep.

    Raises ValueError for n < 1.
    """

    def __init__(self, n):
        if n < 1:
            raise ValueError(f"n={n!r}: must be at least 1")
        self.n = n
        super().__init__({"pulse": In(n), "select": In(range(max(n, 2))), "read": In(1), "clear": In(1), "done": Out(1),
                          "value": Out(32)})

    def elaborate(self, platform):
        m = Module()
        period = max(self.n, 4)
        m.submodules.totals = totals = memory.Memory(shape=32, depth=period, init=[], attrs={"no_rw_check": 1})
        write, read = totals.write_port(), totals.read_port()
        index, behind = Signal(range(period)), Signal(range(period))
        busy, first = Signal(), Signal(init=1)
        small = [Signal(period.bit_length(), name=f"small_{k}") for k in range(self.n)]
        taken = Signal(period.bit_length())
        total = Signal(32)
        m.d.sync += [index.eq(Mux(index == period - 1, 0, index + 1)), behind.eq(index), busy.eq(1), taken.eq(Array(small)[index])]
        for k, count in enumerate(small):
            m.d.sync += count.eq(Mux(index == k, 0, count) + self.pulse[k])
        m.d.comb += [
            read.addr.eq(index), read.en.eq(1),
            total.eq(Mux(first, 0, read.data) + Mux(behind < self.n, taken, 0)),
            self.value.eq(total), self.done.eq(busy & (behind == self.select) & (self.read | self.clear)),
            write.addr.eq(behind), write.en.eq(busy), write.data.eq(Mux(self.done & self.clear, 0, total)),
        ]
        with m.If(busy & (behind == period - 1)):
            m.d.sync += first.eq(0)
        return m
