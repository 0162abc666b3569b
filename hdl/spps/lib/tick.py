"""Ticks: the unit of every protocol timer."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["TickCounter"]


class TickCounter(wiring.Component):
    """Counts ticks of `tick_cycles` clocks, and clocks.

    Members: tick_cycles: clocks per tick, at least 2; now: ticks; cycles: clocks.
    Latency: a new tick_cycles counts from the next tick on. Reset: both zero.
    """

    tick_cycles: In(32)
    now: Out(32)
    cycles: Out(32)

    def elaborate(self, platform):
        m = Module()
        left = Signal(32)
        m.d.sync += self.cycles.eq(self.cycles + 1)
        with m.If(left == 0):
            m.d.sync += [left.eq(self.tick_cycles - 1), self.now.eq(self.now + 1)]
        with m.Else():
            m.d.sync += left.eq(left - 1)
        return m
