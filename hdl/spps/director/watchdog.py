"""Finds cores that stop answering."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Watchdog"]


class Watchdog(wiring.Component):
    """Fences a core that holds events for `limit` clocks without ending one.

    Clocks in which a message of the core waits for the bus do not count, and start the count anew: the gate may be waiting for the other unit.
    Source: architecture §4 rule 5.

    Parameters: cores.
    Members: limit: clocks, 0 never; per core: occupied: it has events; done: one has ended; waiting: for the bus; lift: pulse, the
    fence goes as soon as the core has no events left; fenced: Out, gets no events, and the cluster answers those it has; fences: pulse.
    Latency: 1 clock. Reset: no fence.
    """

    def __init__(self, cores):
        self.cores = cores
        super().__init__({
            "limit": In(24), "occupied": In(cores), "done": In(cores), "waiting": In(cores), "lift": In(cores),
            "fenced": Out(cores), "fences": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        late, lifting = Signal(self.cores), Signal(self.cores)
        for c in range(self.cores):
            age = Signal(24, name=f"age_{c}")
            m.d.comb += late[c].eq((self.limit != 0) & (age == self.limit) & ~self.fenced[c])
            m.d.sync += age.eq(age + 1)
            with m.If(~self.occupied[c] | self.done[c] | self.waiting[c] | self.fenced[c] | (age == self.limit)):
                m.d.sync += age.eq(0)
            with m.If(self.lift[c]):
                m.d.sync += lifting[c].eq(1)
            with m.If(lifting[c] & ~self.occupied[c]):
                m.d.sync += [lifting[c].eq(0), self.fenced[c].eq(0)]
            with m.Elif(late[c]):
                m.d.sync += self.fenced[c].eq(1)
        m.d.comb += self.fences.eq(late.any())
        return m
