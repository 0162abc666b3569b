"""Many 32-bit counters in one block RAM."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CounterFile"]


def _select(index, values):
    """values[index] as a tree of two-way choices: the synthesizer builds a case over many values far larger."""
    for bit in index:
        values = [Mux(bit, *reversed(pair)) if len(pair) == 2 else pair[0] for pair in
                  (values[k:k + 2] for k in range(0, len(values), 2))]
    return values[0]


class CounterFile(wiring.Component):
    """Counts pulses: small counters run freely, and a sweep adds what one of them has gained to its total in block RAM.

    The sweep looks at one counter per clock, at each once per `n` clocks; so log2(n) bits suffice, whatever comes. What
    a small counter showed last time is kept beside its total.
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
        entry = data.StructLayout({"total": 32, "seen": period.bit_length()})
        m.submodules.totals = totals = memory.Memory(shape=entry, depth=period, init=[], attrs={"no_rw_check": 1})
        write, read = totals.write_port(), totals.read_port()
        index, behind = Signal(range(period)), Signal(range(period))
        busy, first = Signal(), Signal(init=1)
        bits = period.bit_length()
        small = [Signal(bits, name=f"small_{k}") for k in range(self.n)]
        seen, gained, total = Signal(bits), Signal(bits), Signal(32)
        for k, count in enumerate(small):
            with m.If(self.pulse[k]):
                m.d.sync += count.eq(count + 1)
        m.d.sync += [index.eq(Mux(index == period - 1, 0, index + 1)), behind.eq(index), busy.eq(1), seen.eq(_select(index, small))]
        m.d.comb += [
            gained.eq(seen - Mux(first, 0, read.data.seen)), total.eq(Mux(first, 0, read.data.total) + gained),
            read.addr.eq(index), read.en.eq(1),
            self.value.eq(total), self.done.eq(busy & (behind == self.select) & (self.read | self.clear)),
            write.addr.eq(behind), write.en.eq(busy), write.data.seen.eq(seen),
            write.data.total.eq(Mux(self.done & self.clear, 0, total)),
        ]
        with m.If(busy & (behind == period - 1)):
            m.d.sync += first.eq(0)
        return m
