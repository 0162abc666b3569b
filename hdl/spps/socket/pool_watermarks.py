"""Watermarks of the pools of socket memory."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.socket import PoolBit

__all__ = ["PoolWatermarks", "pool_status_layout"]


def pool_status_layout(geometry):
    """What programs see of the pools, bit p for pool p.

    ready: a payload may be copied; what copies under way can still take is left. open: windows may grow.
    """
    assert geometry.pools == PoolBit.OPEN
    return data.StructLayout({"ready": geometry.pools, "open": geometry.pools})


class PoolWatermarks(wiring.Component):
    """Compares the free pages of each pool with two marks.

    Parameters: geometry.
    Members: free: pages of each pool. low_watermark: sixteenths of a pool that must be free for windows to grow. status: see pool_status_layout; all: every pool that exists
    is ready and open. lowest: fewest free pages of each pool so far; `clear` begins anew.
    Latency: 1 clock. Reset: no pool is ready.
    """

    def __init__(self, geometry):
        self.geometry = g = geometry
        levels = data.ArrayLayout(range(max(g.counts) + 1), g.pools)
        super().__init__({
            "free": In(levels), "low_watermark": In(4), "clear": In(1), "status": Out(pool_status_layout(g)), "all": Out(1), "lowest": Out(levels),
        })

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        ready, open_ = Signal(g.pools), Signal(g.pools)
        for pool in g.order:
            mark = Signal(range(max(g.counts) + 1), name=f"mark_{pool}")
            low = (g.counts[pool] * self.low_watermark) >> 4
            m.d.sync += mark.eq(Mux(low > 2 * g.reserve[pool], low, 2 * g.reserve[pool]))
            m.d.comb += [ready[pool].eq(self.free[pool] >= g.reserve[pool]), open_[pool].eq(self.free[pool] >= mark)]
            with m.If(self.clear | (self.free[pool] < self.lowest[pool])):
                m.d.sync += self.lowest[pool].eq(Mux(self.clear, g.counts[pool], self.free[pool]))
        exist = sum(1 << pool for pool in g.order)
        m.d.sync += [self.status.ready.eq(ready), self.status.open.eq(open_), self.all.eq((ready & open_) == exist)]
        return m
