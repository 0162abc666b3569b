"""Ticks: the unit of every protocol timer."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["TickCounter"]


class TickCounter(wiring.Component):
    """Counts ticks of `tick_cycles` clocks, and clocks.

    Members
    -------
    tick_cycles : In(32), clocks
        Clocks per tick, at least 2.
    load : In(1)
        The next tick count is `tick`.
    tick : In(32), ticks
        Value to load.
    now : Out(32), ticks
        Ticks since reset, or since the load on top of `tick`.
    cycles : Out(32), clocks
        Clocks since reset.

    Timing
    ------
    A new `tick_cycles` applies to the tick that runs: a tick that is already longer ends at once.

    Reset
    -----
    Both zero.
    """

    tick_cycles: In(32)
    load: In(1)
    tick: In(32)
    now: Out(32)
    cycles: Out(32)

    def elaborate(self, platform):
        m = Module()
        spent = Signal(32)
        m.d.sync += [self.cycles.eq(self.cycles + 1), spent.eq(spent + 1)]
        with m.If(spent + 1 >= self.tick_cycles):
            m.d.sync += [spent.eq(0), self.now.eq(self.now + 1)]
        with m.If(self.load):
            m.d.sync += [spent.eq(0), self.now.eq(self.tick)]
        return m
