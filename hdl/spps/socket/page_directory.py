"""Which physical page holds which part of a ring."""
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .page_pools import PagePools

__all__ = ["PageDirectory", "PageOp", "PageVerdict", "page_request"]


class PageOp(enum.Enum, shape=2):
    """Request to PageDirectory."""

    MAP = 0         # find the page of a byte, allocate it if there is none
    RELEASE = 1     # free the pages that lie wholly below a byte
    DROP = 2        # free all pages of the ring, forget its released number


class PageVerdict(enum.Enum, shape=2):
    """Answer to MAP."""

    OK = 0
    NO_PAGE = 1     # the pool is empty
    BAD_PAGE = 2    # below the released number, its entry is another page's, or another pool than the rest of the ring


def page_request(geometry):
    """Return the layout of a request; `pool` only matters for MAP."""
    return data.StructLayout({"op": PageOp, "ring": range(geometry.rings), "pool": range(geometry.pools), "offset": 32})


class PageDirectory(wiring.Component):
    """Page table of all rings, free pages, and the released number of each ring.

    The table is indexed by ring and the low bits of the virtual page number (entry); the high bits are a tag, so that a
    look-up of a page that was freed, or belongs to another ring now, does not match. Two pages of a ring with one entry
    cannot both be there. Proof: tests/formal/test_page_directory.py.

    Parameters
    ----------
    geometry : Geometry
        Sizes of table and pools.

    Members
    -------
    i : In(stream of page_request)
        Requests, executed one after the other.
    answer : Out(1)
        MAP is answered in this clock.
    verdict : Out(PageVerdict)
        With `answer`: whether there is a page.
    granule : Out(range(granules))
        With `answer`: its first granule.
    l_ring : In(range(rings))
        Look-up: ring.
    l_pool : In(range(pools))
        Look-up: pool.
    l_offset : In(32)
        Look-up: byte.
    l_hit : Out(1)
        One clock after the look-up: the page of that byte is there.
    l_granule : Out(range(granules))
        One clock after the look-up: its first granule.
    freed : Out(1)
        A page becomes free in this clock.
    freed_ring : Out(range(rings))
        With `freed`: its ring.
    freed_page : Out(page_bits)
        With `freed`: its virtual page number.
    flush : In(1)
        All pages become free.
    sweeping : Out(1)
        1 until they are.
    free : Out(array of range(largest count + 1)), pages
        Free pages per pool.

    Timing
    ------
    Latency: MAP 2 clocks, 3 when a page is allocated; RELEASE 2 clocks and 2 per page passed; DROP 2 clocks and, when
    the ring has pages, 2 per entry up to the last page. Look-ups never wait. `i` waits while a request is executed.

    Drop
    ----
    None.

    Reset
    -----
    As `flush`: 1 entry of the table per clock.

    Source
    ------
    Patent §IV (virtual buffer offset), §X.A (SMC 758).
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
        m.submodules.pools = self._pools = pools = PagePools(g)
        m.submodules.table = table = memory.Memory(shape=g.entry_layout(), depth=g.rings << g.entry_bits, init=[])
        m.submodules.states = states = memory.Memory(shape=g.state_layout(), depth=g.rings, init=[])
        self._write, self._read = write, read = table.write_port(), table.read_port()
        self._state_write, self._state_read = state_write, state_read = states.write_port(), states.read_port()
        self._look_up(m, table.read_port())

        self._request = request = Signal(page_request(g))
        self._page = page = Signal(g.page_bits)     # virtual page the table is asked for
        self._target = Signal(g.page_bits)          # pages below this one are freed
        self._left = Signal(g.entry_bits + 1)       # entries still to be looked at
        self._used = Signal.like(state_read.data.used)
        self._flush_due = Signal()
        m.d.comb += [
            pools.pool.eq(request.pool), pools.give_pool.eq(read.data.pool), pools.give_page.eq(read.data.granule),
            self.free.eq(pools.free), self.freed.eq(pools.give), self.freed_ring.eq(request.ring),
            self.freed_page.eq(Cat(page[:g.entry_bits], read.data.tag)),
            write.addr.eq(Cat(page[:g.entry_bits], request.ring)), read.addr.eq(write.addr),
            state_write.addr.eq(request.ring), state_read.addr.eq(request.ring),
        ]
        with m.If(self.flush):
            m.d.sync += self._flush_due.eq(1)
        with m.FSM():
            self._accept(m)
            self._decide(m)
            self._walk(m)
        return m

    def _accept(self, m):
        """Sweep table and pools; take the next request."""
        g, write, state_write = self.geometry, self._write, self._state_write
        depth, taken = g.rings << g.entry_bits, self.i.payload
        flush_due, sweep = self._flush_due, Signal(range(depth))
        with m.State("SWEEP"):
            m.d.comb += [
                self.sweeping.eq(1), write.en.eq(1), write.addr.eq(sweep),
                state_write.en.eq(sweep < g.rings), state_write.addr.eq(sweep[:len(state_write.addr)]),
            ]
            with m.If(sweep != depth - 1):
                m.d.sync += sweep.eq(sweep + 1)
            with m.Elif(self._pools.ready):
                m.d.sync += sweep.eq(0)
                m.next = "IDLE"
        with m.State("IDLE"):
            m.d.comb += [
                self.i.ready.eq(~flush_due),
                self._state_read.addr.eq(taken.ring),
                self._read.addr.eq(Cat(g.virtual_page(taken.offset, taken.pool)[:g.entry_bits], taken.ring)),
            ]
            m.d.sync += [self._request.eq(taken), self._page.eq(g.virtual_page(taken.offset, taken.pool))]
            with m.If(flush_due):
                m.d.comb += self._pools.clear.eq(1)
                m.d.sync += flush_due.eq(self.flush)
                m.next = "SWEEP"
            with m.Elif(self.i.valid):
                m.next = "DECIDE"

    def _decide(self, m):
        """Answer MAP; where RELEASE and DROP begin to look."""
        g, pools, request, page, left = self.geometry, self._pools, self._request, self._page, self._left
        entry, state = self._read.data, self._state_read.data
        asked, known = Signal(g.page_bits), Signal(g.page_bits)     # virtual page of request, of released number
        to_known, to_asked, moved = Signal(g.page_bits), Signal(g.page_bits), Signal(g.page_bits)
        back, below = Signal(), Signal()        # the released number would go back; the page of MAP has been released
        m.d.comb += [
            asked.eq(g.virtual_page(request.offset, state.pool)), known.eq(g.virtual_page(state.released, state.pool)),
            to_known.eq(asked - known), moved.eq(g.ahead(to_known, state.pool)[0]),
            back.eq(g.ahead(to_known, state.pool)[1]),
            to_asked.eq(page - g.virtual_page(state.released, request.pool)),
            below.eq(g.ahead(to_asked, request.pool)[1]),
        ]
        with m.State("DECIDE"):
            m.d.sync += self._used.eq(state.used)
            with m.Switch(request.op):
                with m.Case(PageOp.MAP):
                    m.next = "IDLE"
                    m.d.comb += [
                        self.answer.eq(1), self.granule.eq(entry.granule), self.verdict.eq(PageVerdict.BAD_PAGE),
                    ]
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
                    m.d.sync += [self._target.eq(asked), left.eq(moved), page.eq(known)]
                    with m.If(~state.known | (moved > 1 << g.entry_bits)):
                        m.d.sync += [left.eq(1 << g.entry_bits), page.eq(asked - (1 << g.entry_bits))]
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
            write, state_write = self._write, self._state_write
            m.d.comb += [
                self.answer.eq(1), self.verdict.eq(PageVerdict.OK), self.granule.eq(pools.page), pools.take.eq(1),
                write.en.eq(1), write.data.valid.eq(1), write.data.pool.eq(request.pool),
                write.data.tag.eq(page[g.entry_bits:]), write.data.granule.eq(pools.page),
                state_write.en.eq(1), state_write.data.eq(state), state_write.data.used.eq(self._used + 1),
                state_write.data.pool.eq(request.pool),
            ]
            m.next = "IDLE"

    def _walk(self, m):
        """Free pages of RELEASE and DROP, two clocks per entry; note the released number."""
        g, request, page, left, used = self.geometry, self._request, self._page, self._left, self._used
        entry, state, write, state_write = self._read.data, self._state_read.data, self._write, self._state_write
        pools, to_target = self._pools, Signal(g.page_bits)
        m.d.comb += to_target.eq(self.freed_page - self._target)
        with m.State("NEXT"):
            m.next = "FREE"
            with m.If((left == 0) | (used == 0)):
                m.next = "NOTE"
        with m.State("FREE"):
            with m.If(entry.valid & (g.ahead(to_target, entry.pool)[1] | (request.op == PageOp.DROP))):
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

    def _look_up(self, m, port):
        """Second read port: look-ups of the reader, which never wait."""
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
