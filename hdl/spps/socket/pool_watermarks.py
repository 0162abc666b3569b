"""Watermarks of the pools of socket memory."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.socket import PoolBit

__all__ = ["PoolWatermarks", "pool_status_layout"]


def pool_status_layout(geometry):
    """CSR pool_status, bit p of each field for pool p.

    ready: a payload may be copied, since more pages are free than copies under way can take. open: windows may grow.
    """
    assert geometry.pools == PoolBit.OPEN
    return data.StructLayout({"ready": geometry.pools, "open": geometry.pools})


class PoolWatermarks(wiring.Component):
    """Compares the free pages of each pool with two marks.

    Parameters
    ----------
    geometry : Geometry
        Pools and their reserves.

    Members
    -------
    free : In(array of range(largest count + 1)), pages
        Free pages per pool.
    low_watermark : In(4), sixteenths of a pool
        Pages that must be free for windows to grow; never less than two reserves.
    clear : In(1)
        `lowest` begins again.
    pool_status : Out(pool_status_layout)
        `ready` and `open` of each pool.
    pools_ready : Out(1)
        Every pool that has pages is ready and open.
    lowest : Out(array of range(largest count + 1)), pages
        Fewest free pages per pool since `clear`.

    Timing
    ------
    Latency 1 clock from `free` to `pool_status`, 2 from `low_watermark`.

    Reset
    -----
    No pool is ready.
    """

    def __init__(self, geometry):
        self.geometry = g = geometry
        levels = data.ArrayLayout(range(max(g.counts) + 1), g.pools)
        super().__init__({
            "free": In(levels), "low_watermark": In(4), "clear": In(1),
            "pool_status": Out(pool_status_layout(g)), "pools_ready": Out(1), "lowest": Out(levels),
        })

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        ready, open_ = Signal(g.pools), Signal(g.pools)
        for pool in g.order:
            mark = Signal(range(max(g.counts) + 1), name=f"mark_{pool}")
            share = (g.counts[pool] * self.low_watermark) >> 4
            m.d.sync += mark.eq(Mux(share > 2 * g.reserve[pool], share, 2 * g.reserve[pool]))
            m.d.comb += [ready[pool].eq(self.free[pool] >= g.reserve[pool]), open_[pool].eq(self.free[pool] >= mark)]
            with m.If(self.clear | (self.free[pool] < self.lowest[pool])):
                m.d.sync += self.lowest[pool].eq(Mux(self.clear, g.counts[pool], self.free[pool]))
        exist = sum(1 << pool for pool in g.order)
        m.d.sync += [
            self.pool_status.ready.eq(ready), self.pool_status.open.eq(open_),
            self.pools_ready.eq((ready & open_) == exist),
        ]
        return m
