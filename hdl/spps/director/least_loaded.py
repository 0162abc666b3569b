"""Which core gets the next flow."""
from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["LeastLoaded"]


class LeastLoaded(wiring.Component):
    """The eligible core with the smallest load; among equals the next after the one chosen last.

    Source: patent §III.F (round robin, or queue fullness).

    Parameters: cores; load_bits.
    Members: eligible, load: In per core; last: core chosen last; core: the choice; found: there is one.
    Latency: 1 clock, a tree of comparisons of load_bits + 2 bits. Reset: nothing found.
    """

    def __init__(self, cores, load_bits):
        self.cores, self.load_bits = cores, load_bits
        super().__init__({
            "eligible": In(cores),
            "load": In(data.ArrayLayout(unsigned(load_bits), cores)),
            "last": In(range(cores)),
            "core": Out(range(cores)),
            "found": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        # key of a candidate, smaller is better: not eligible, load, not after the last one
        row = [(Cat(k <= self.last, self.load[k], ~self.eligible[k]), Const(k, len(self.core))) for k in range(self.cores)]
        level = 0
        while len(row) > 1:
            joined = []
            for pair in range(0, len(row) - 1, 2):
                (a, a_core), (b, b_core) = row[pair], row[pair + 1]
                key = Signal(self.load_bits + 2, name=f"key_{level}_{pair}")
                core = Signal(len(self.core), name=f"core_{level}_{pair}")
                better = Signal(name=f"better_{level}_{pair}")
                m.d.comb += [better.eq(b < a), key.eq(Mux(better, b, a)), core.eq(Mux(better, b_core, a_core))]
                joined.append((key, core))
            row = joined + row[len(row) - len(row) % 2:]
            level += 1
        key, core = row[0]
        m.d.sync += [self.core.eq(core), self.found.eq(~key[-1])]
        return m
