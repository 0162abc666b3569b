"""Which core gets the next flow."""
from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["CoreChoice"]


class CoreChoice(wiring.Component):
    """Chooses the eligible core with the smallest load, or with `round_robin` the next eligible core in turn.

    Among cores with equal loads it chooses the next one after the core chosen last.

    Parameters
    ----------
    cores : int
        Cores of all clusters.
    load_bits : int
        Bits of a load.

    Members
    -------
    eligible : In(cores)
        The core may be chosen.
    load : In(load_bits), cores times, events
        Load of each core.
    round_robin : In(1)
        Loads do not count.
    last : In(range(cores))
        Core chosen last.
    core : Out(range(cores))
        The choice.
    found : Out(1)
        There is one.

    Timing
    ------
    Latency 1 clock: a tree of comparisons of load_bits + 2 bits.

    Reset
    -----
    Nothing found.

    Source
    ------
    Patent §III.F: "simply round robin to the compatible PPC that has least recently received an event, or on the
    basis of PPC queue fullness".
    """

    def __init__(self, cores, load_bits):
        self.cores, self.load_bits = cores, load_bits
        super().__init__({
            "eligible": In(cores),
            "load": In(data.ArrayLayout(unsigned(load_bits), cores)),
            "round_robin": In(1),
            "last": In(range(cores)),
            "core": Out(range(cores)),
            "found": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        # key of a candidate, smaller is better: not eligible, load, not after the last one
        row = [(Cat(k <= self.last, self.load[k] & (~self.round_robin).replicate(self.load_bits), ~self.eligible[k]),
                Const(k, len(self.core))) for k in range(self.cores)]
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
