"""Which physical page holds which part of a ring."""
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .page_pools import PagePools

__all__ = ["PageDirectory", "PageOp", "PageVerdict", "page_request"]


class PageOp(enum.Enum, shape=2):
    MAP = 0         # the page of a byte, allocated if there is none
    RELEASE = 1     # pages that lie wholly below a byte are free
    DROP = 2        # all pages of the ring are free


class PageVerdict(enum.Enum, shape=2):
    """Answer to MAP."""
    OK = 0
    NO_PAGE = 1     # the pool is empty
    BAD_PAGE = 2    # below the released number, more than a ring beyond it, or another pool than the rest of the ring


def page_request(geometry):
    return data.StructLayout({"op": PageOp, "ring": range(geometry.rings), "pool": range(geometry.pools), "offset": 32})


class PageDirectory(wiring.Component):
    """Page table of all rings, free pages, and what has been released.

    The table is indexed by ring and low bits of the virtual page number; the rest is a tag, so that a look-up of a page that was freed or
    is another one's now does not match.
    Source: patent §IV (virtual buffer offset), §X.A (SMC 758). Proof: tests/formal/test_page_directory.py.
    Parameters: geometry.
    Members:
        i: requests, one after the other. verdict, granule: answer to MAP in the clock of `answer`.
        l_ring, l_pool, l_offset: look-up; one clock later l_hit, l_granule.
        freed: a page of freed_ring, virtual page freed_page, has just become free.
        flush: all pages become free; sweeping: until they are; `free`: pages per pool.
    Latency: MAP 2 clocks, 3 with allocation; RELEASE 2 clocks and 2 per page passed; DROP 2, and 2 per table entry of the ring if it
    has pages; stops at the last page. Look-ups never wait. Backpressure: `i`. Drop: none. Reset: as flush, one table entry per clock.
    """

    def __init__(self, geometry):
        self.geometry = g = geometry
        super().__init__({
            "i": In(stream.Signature(page_request(g))),
            "answer": Out(1), "verdict": Out(PageVerdict), "granule": Out(range(g.granules)),
            "l_ring": In(range(g.rings)), "l_pool": In(range(g.pools)), "l_offset": In(32),
            "l_hit": Out(1), "l_granule": Out(range(g.granules)),
            "freed": Out(1), "freed_ring": Out(range(g.rings)), "freed_page": Out(g.page_bits),
            "flush": In(1), "sweeping": Out(1), "free": Out(data.ArrayLayout(range(max(g.counts) + 1), g.pools)),
        })

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        m.submodules.pools = pools = PagePools(g)
        depth = g.rings << g.entry_bits
        m.submodules.table = table = memory.Memory(shape=g.entry_layout(), depth=depth, init=[])
        write, read = table.write_port(), table.read_port()
        self._look_up(m, table.read_port())
        m.submodules.states = states = memory.Memory(shape=g.state_layout(), depth=g.rings, init=[])
        state_write, state_read = states.write_port(), states.read_port()
        state, entry = state_read.data, read.data

        request, taken = Signal(page_request(g)), self.i.payload
        page = Signal(g.page_bits)                  # virtual page the table is asked for
        target = Signal(g.page_bits)                # walk: pages below this one are freed
        left = Signal(g.entry_bits + 1)             # entries still to be looked at
        used = Signal.like(state.used)
        flush_due, sweep = Signal(), Signal(range(depth))
        with m.If(self.flush):
            m.d.sync += flush_due.eq(1)
        m.d.comb += [
            pools.pool.eq(request.pool), pools.give_pool.eq(entry.pool), pools.give_page.eq(entry.granule),
            self.free.eq(pools.free), self.freed.eq(pools.give), self.freed_ring.eq(request.ring),
            self.freed_page.eq(Cat(page[:g.entry_bits], entry.tag)),
            write.addr.eq(Cat(page[:g.entry_bits], request.ring)), read.addr.eq(write.addr),
            state_write.addr.eq(request.ring), state_read.addr.eq(request.ring),
        ]
        at_state = Signal(32)
        known_page, moved, back = Signal(g.page_bits), Signal(g.page_bits), Signal()
        below = Signal()                            # the page asked for has been released
        difference = {name: Signal(g.page_bits, name=name) for name in ("to_known", "to_asked", "to_target")}
        m.d.comb += [
            at_state.eq(request.offset),
            known_page.eq(g.virtual_page(state.released, state.pool)),
            difference["to_known"].eq(g.virtual_page(at_state, state.pool) - known_page),
            moved.eq(g.ahead(difference["to_known"], state.pool)[0]), back.eq(g.ahead(difference["to_known"], state.pool)[1]),
            difference["to_asked"].eq(page - g.virtual_page(state.released, request.pool)),
            below.eq(g.ahead(difference["to_asked"], request.pool)[1]),
            difference["to_target"].eq(self.freed_page - target),
        ]
        with m.FSM():
            with m.State("SWEEP"):
                m.d.comb += [
                    self.sweeping.eq(1), write.en.eq(1), write.addr.eq(sweep),
                    state_write.en.eq(sweep < g.rings), state_write.addr.eq(sweep[:len(state_write.addr)]),
                ]
                with m.If(sweep != depth - 1):
                    m.d.sync += sweep.eq(sweep + 1)
                with m.Elif(pools.ready):
                    m.d.sync += sweep.eq(0)
                    m.next = "IDLE"
            with m.State("IDLE"):
                m.d.comb += [
                    self.i.ready.eq(~flush_due),
                    state_read.addr.eq(taken.ring),
                    read.addr.eq(Cat(g.virtual_page(taken.offset, taken.pool)[:g.entry_bits], taken.ring)),
                ]
                m.d.sync += [request.eq(taken), page.eq(g.virtual_page(taken.offset, taken.pool))]
                with m.If(flush_due):
                    m.d.comb += pools.clear.eq(1)
                    m.d.sync += flush_due.eq(self.flush)
                    m.next = "SWEEP"
                with m.Elif(self.i.valid):
                    m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.sync += used.eq(state.used)
                with m.Switch(request.op):
                    with m.Case(PageOp.MAP):
                        m.next = "IDLE"
                        m.d.comb += [self.answer.eq(1), self.granule.eq(entry.granule), self.verdict.eq(PageVerdict.BAD_PAGE)]
                        with m.If(entry.valid):
                            with m.If((entry.tag == page[g.entry_bits:]) & (entry.pool == request.pool)):
                                m.d.comb += self.verdict.eq(PageVerdict.OK)
                        with m.Elif((state.used != 0) & (state.pool != request.pool) | state.known & below):
                            pass
                        with m.Elif(pools.free[request.pool] == 0):
                            m.d.comb += self.verdict.eq(PageVerdict.NO_PAGE)
                        with m.Else():
                            m.d.comb += self.answer.eq(0)
                            m.next = "TAKE"
                    with m.Case(PageOp.RELEASE):
                        m.d.sync += [
                            target.eq(g.virtual_page(at_state, state.pool)),
                            left.eq(moved), page.eq(known_page),
                        ]
                        with m.If(~state.known | (moved > 1 << g.entry_bits)):
                            m.d.sync += [left.eq(1 << g.entry_bits), page.eq(g.virtual_page(at_state, state.pool) - (1 << g.entry_bits))]
                        m.next = "NEXT"
                        with m.If(state.used == 0):
                            m.next = "NOTE"
                        with m.Elif(state.known & back):
                            m.next = "IDLE"
                    with m.Default():
                        m.d.sync += [left.eq(1 << g.entry_bits), page.eq(0)]
                        m.next = "NEXT"
                        with m.If(state.used == 0):
                            m.next = "NOTE"
            with m.State("TAKE"):
                m.d.comb += [
                    self.answer.eq(1), self.verdict.eq(PageVerdict.OK), self.granule.eq(pools.page), pools.take.eq(1),
                    write.en.eq(1), write.data.valid.eq(1), write.data.pool.eq(request.pool),
                    write.data.tag.eq(page[g.entry_bits:]), write.data.granule.eq(pools.page),
                    state_write.en.eq(1), state_write.data.eq(state), state_write.data.used.eq(used + 1),
                    state_write.data.pool.eq(request.pool),
                ]
                m.next = "IDLE"
            # two clocks per entry
            with m.State("NEXT"):
                m.next = "FREE"
                with m.If((left == 0) | (used == 0)):
                    m.next = "NOTE"
            with m.State("FREE"):
                with m.If(entry.valid & (g.ahead(difference["to_target"], entry.pool)[1] | (request.op == PageOp.DROP))):
                    m.d.comb += [pools.give.eq(1), write.en.eq(1)]
                    m.d.sync += used.eq(used - 1)
                m.d.sync += [page.eq(page + 1), left.eq(left - 1)]
                m.next = "NEXT"
            with m.State("NOTE"):
                m.d.comb += [
                    state_write.en.eq(1), state_write.data.used.eq(used), state_write.data.pool.eq(state.pool),
                    state_write.data.known.eq(request.op == PageOp.RELEASE), state_write.data.released.eq(request.offset),
                ]
                m.next = "IDLE"
        return m

    def _look_up(self, m, port):
        """The second read port: the same question asked by the reader, without waiting."""
        g = self.geometry
        asked, pool = Signal(g.page_bits), Signal(range(g.pools))
        page = Signal(g.page_bits)
        m.d.comb += [
            page.eq(g.virtual_page(self.l_offset, self.l_pool)),
            port.addr.eq(Cat(page[:g.entry_bits], self.l_ring)),
            self.l_hit.eq(port.data.valid & (port.data.pool == pool) & (port.data.tag == asked[g.entry_bits:])),
            self.l_granule.eq(port.data.granule),
        ]
        m.d.sync += [asked.eq(page), pool.eq(self.l_pool)]
