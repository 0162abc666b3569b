"""Free pages, one stack per pool."""
from amaranth.hdl import Array, Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["PagePools"]


class PagePools(wiring.Component):
    """Keeps the free pages of each pool: stacks in one memory.

    Parameters
    ----------
    geometry : Geometry
        Pools and their pages.

    Members
    -------
    pool : In(range(pools))
        Whose top is wanted.
    page : Out(range(granules))
        First granule of that page, one clock later.
    take : In(1)
        `page` is taken from `pool`.
    give : In(1)
        `give_page` becomes free; never in the clock of a take.
    give_pool : In(range(pools))
        Its pool.
    give_page : In(range(granules))
        Its first granule.
    clear : In(1)
        All pages become free.
    ready : Out(1)
        0 while they do.
    free : Out(array of range(largest count + 1)), pages
        Free pages per pool.

    Timing
    ------
    Latency 1 clock from `pool`, `take` or `give` to `page`. Throughput: a take every second clock, a give every clock.

    Drop
    ----
    None.

    Reset
    -----
    As `clear`: 1 page per clock.

    Source
    ------
    Patent §X.A (SMC 758).
    """

    def __init__(self, geometry):
        self.geometry = g = geometry
        super().__init__({
            "pool": In(range(g.pools)), "page": Out(range(g.granules)), "take": In(1),
            "give": In(1), "give_pool": In(range(g.pools)), "give_page": In(range(g.granules)),
            "clear": In(1), "ready": Out(1), "free": Out(data.ArrayLayout(range(max(g.counts) + 1), g.pools)),
        })

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        m.submodules.stack = stack = memory.Memory(shape=range(g.granules), depth=g.total_pages, init=[],
                                                   attrs={"no_rw_check": 1})
        write, read = stack.write_port(), stack.read_port()
        bottom = Array(g.first_page(p) for p in range(g.pools))
        m.d.comb += [read.addr.eq(bottom[self.pool] + self.free[self.pool] - 1), self.page.eq(read.data)]

        place, granule = Signal(range(g.total_pages)), Signal(range(g.granules))
        with m.If(~self.ready):
            m.d.comb += [write.en.eq(1), write.addr.eq(place), write.data.eq(granule)]
            m.d.sync += place.eq(place + 1)
            for pool in g.order:
                first = g.first_page(pool)
                with m.If((place >= first) & (place < first + g.counts[pool])):
                    m.d.sync += granule.eq(granule + g.step[pool])
            with m.If(place == g.total_pages - 1):
                m.d.sync += [self.ready.eq(1), place.eq(0), granule.eq(0)]
                m.d.sync += [self.free[pool].eq(g.counts[pool]) for pool in g.order]
        with m.Elif(self.clear):
            m.d.sync += [self.ready.eq(0), *(level.eq(0) for level in self.free)]
        with m.Elif(self.give):
            m.d.comb += [write.en.eq(1), write.addr.eq(bottom[self.give_pool] + self.free[self.give_pool]),
                         write.data.eq(self.give_page)]
            m.d.sync += self.free[self.give_pool].eq(self.free[self.give_pool] + 1)
        with m.Elif(self.take):
            m.d.sync += self.free[self.pool].eq(self.free[self.pool] - 1)
        return m
