"""Turns simultaneous pulses of several sources into single pulses."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["PulseSum"]

_OUTSTANDING_BITS = 6


class PulseSum(wiring.Component):
    """One pulse of `o` per pulse of any bit of `i`, as the counters of MMC count one per clock.

    Parameters
    ----------
    n : int
        Sources, which together pulse less than once per clock on average.

    Members
    -------
    i : In(n), pulses
        Sources.
    o : Out(1), pulses
        Their sum, one after the other.

    Timing
    ------
    1 clock or more.

    Drop
    ----
    None up to 63 pulses outstanding.

    Reset
    -----
    None outstanding.
    """

    def __init__(self, n):
        super().__init__({"i": In(n), "o": Out(1)})

    def elaborate(self, platform):
        m = Module()
        owed = Signal(_OUTSTANDING_BITS)
        m.d.comb += self.o.eq(owed != 0)
        m.d.sync += owed.eq(owed + sum(self.i) - self.o)
        return m
