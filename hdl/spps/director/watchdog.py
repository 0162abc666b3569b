"""Finds cores that stop answering."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..lib.counters import Counters
from .ports import FenceControl

__all__ = ["Watchdog"]


class Watchdog(wiring.Component):
    """Fences a core that holds events for `limit` clocks without ending one.

    Clocks in which a message of the core waits for the bus do not count and restart the count: the ACK gate may be
    waiting for the other unit.

    Parameters
    ----------
    cores : int
        Cores of all clusters.

    Members
    -------
    fence : In(FenceControl)
        Limit, waiting cores, lifts, and the fences.
    occupied : In(cores)
        A core has events.
    done : In(cores)
        A core has ended an event.
    count : Out(COUNTERS.layout)
        Pulses.

    Timing
    ------
    A fence begins 1 clock after the limit is reached.

    Reset
    -----
    No fence.

    Source
    ------
    Architecture §4 rule 5.
    """

    COUNTERS = Counters({"fences": "fences of cores that stopped answering; those of one clock count once"})

    def __init__(self, cores):
        self.cores = cores
        super().__init__({
            "fence": In(FenceControl(cores)), "occupied": In(cores), "done": In(cores),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        control, fenced = self.fence, self.fence.fenced
        late, lifting = Signal(self.cores), Signal(self.cores)
        for c in range(self.cores):
            age = Signal.like(control.limit, name=f"age_{c}")
            m.d.comb += late[c].eq((control.limit != 0) & (age == control.limit) & ~fenced[c])
            m.d.sync += age.eq(age + 1)
            with m.If(~self.occupied[c] | self.done[c] | control.waiting[c] | fenced[c] | (age == control.limit)):
                m.d.sync += age.eq(0)
            with m.If(control.lift[c]):
                m.d.sync += lifting[c].eq(1)
            with m.If(lifting[c] & ~self.occupied[c]):
                m.d.sync += [lifting[c].eq(0), fenced[c].eq(0)]
            with m.Elif(late[c]):
                m.d.sync += fenced[c].eq(1)
        m.d.comb += self.count.fences.eq(late.any())
        return m
