"""Paged memory of payloads."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..layouts.packet import packet_signature
from ..layouts.scratchpad import ScratchPage, ScratchRead
from ..lib.counters import Counters
from .page_list import PageList
from .scratch_reader import ScratchReader, info_layout

__all__ = ["Scratchpad"]


class Scratchpad(wiring.Component):
    """Store each payload in linked pages and name it by its first page.

    Parameters
    ----------
    params : SppsParams
        Uses data_width, scratch_pages, scratch_page_bytes.

    Members
    -------
    i : In(stream of packet)
        Payloads, one packet each.
    o_page : Out(stream of ScratchPage)
        One answer per packet, in order: reference, length in bytes, `ok`.
    i_read : In(stream of ScratchRead)
        Reads of bytes [skip, skip + length) of a stored payload.
    o_data : Out(stream of packet)
        One packet per read, in order, left-aligned.
    i_free : In(stream of unsigned(16))
        References of payloads to be given back whole.
    free_pages : Out(range(scratch_pages + 1)), pages
        Pages not in use.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    An answer comes two clocks after the last word. The first word of a read comes 5 clocks after the request, and 2
    later per page skipped. Throughput one word per clock in and out at once; 2 clocks between packets, 4 between reads,
    3 per free. `i` waits until the answer before was taken, never for pages. `i_read` waits for `o_data`. `i_free`
    waits longer than its 3 clocks only while pages are taken or a record is written.

    Drop
    ----
    A packet that finds no page (full) or arrives with err (error): it is answered with ok = 0 and keeps no page. A free
    of what is no live chain is ignored (bad_free). A read of a dead reference, of no bytes or beyond the stored length
    is answered with one word with err (bad_read).

    Reset
    -----
    Links and records are written, one page per clock; `i` and `i_free` wait. Page contents are not reset: the bit
    `live` of a record says whether a page was written.

    Source
    ------
    Patent §II, scratchpad memory 210: pages, reference ID of the first page, a byte count of its own.
    """

    COUNTERS = Counters({
        "packets": "payloads stored",
        "full": "payloads refused because no page was free",
        "error": "payloads refused because they arrived with err",
        "bad_free": "frees of a reference that is no live chain, ignored",
    }) | ScratchReader.COUNTERS

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i": In(packet_signature(params.data_width)), "o_page": Out(stream.Signature(ScratchPage)),
            "i_read": In(stream.Signature(ScratchRead)), "o_data": Out(packet_signature(params.data_width)),
            "i_free": In(stream.Signature(unsigned(16))), "free_pages": Out(range(params.scratch_pages + 1)),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.params
        pages = p.scratch_pages
        word_bits = exact_log2(p.scratch_page_bytes // p.data_bytes)
        m.submodules.list = free_list = PageList(pages)
        m.submodules.reader = reader = ScratchReader(p)
        m.submodules.store = store = memory.Memory(shape=unsigned(p.data_width), depth=pages << word_bits, init=[],
                                                   attrs={"no_rw_check": 1})
        m.submodules.info = info = memory.Memory(shape=info_layout(pages), depth=pages, init=[],
                                                 attrs={"no_rw_check": 1})
        store_write, store_read = store.write_port(), store.read_port()
        info_write, info_reader, info_free = info.write_port(), info.read_port(), info.read_port()
        wiring.connect(m, reader.i, wiring.flipped(self.i_read))
        wiring.connect(m, reader.o, wiring.flipped(self.o_data))
        m.d.comb += [
            info_reader.addr.eq(reader.info_page), reader.info.eq(info_reader.data),
            self.count.bad_read.eq(reader.count.bad_read),
            free_list.link_page.eq(reader.link_page), reader.link_next.eq(free_list.link_next),
            store_read.addr.eq(reader.address), store_read.en.eq(reader.enable), reader.data.eq(store_read.data),
            self.free_pages.eq(free_list.free_pages),
        ]
        swept, answer = self._store(m, free_list, store_write, info_write)
        self._free(m, free_list, info_write, info_free, swept, answer)
        return m

    def _store(self, m, free_list, store_write, info_write):
        """Packets into pages, and answers. Returns two signals: records are swept; an answer is made in this clock."""
        p, count = self.params, self.count
        pages = p.scratch_pages
        first, page = Signal(range(pages)), Signal(range(pages))
        word = Signal(len(store_write.addr) - exact_log2(pages))    # of the page; 0: a new page is needed
        begun, bad = Signal(), Signal()
        length, used = Signal(16), Signal(range(pages + 1))
        sweep, swept = Signal(range(pages)), Signal()
        answer = Signal()                       # a packet is being answered
        with m.If(self.o_page.ready):
            m.d.sync += self.o_page.valid.eq(0)
        with m.FSM():
            with m.State("SWEEP"):
                m.d.comb += [info_write.en.eq(1), info_write.addr.eq(sweep)]
                m.d.sync += sweep.eq(sweep + 1)
                with m.If(sweep == pages - 1):
                    m.d.sync += swept.eq(1)
                    m.next = "WRITE"
            with m.State("WRITE"):
                out_of_pages = Signal()
                m.d.comb += [
                    out_of_pages.eq(free_list.free_pages == 0),
                    self.i.ready.eq((word != 0) | free_list.available | out_of_pages),
                    store_write.addr.eq(Cat(word, Mux(word == 0, free_list.next, page))),
                    store_write.data.eq(self.i.p.data),
                ]
                with m.If(self.i.valid & self.i.ready):
                    m.d.comb += store_write.en.eq(1)
                    m.d.sync += [
                        word.eq(word + 1), length.eq(length + p.data_bytes - Mux(self.i.p.last, self.i.p.empty, 0)),
                        begun.eq(1), bad.eq(self.i.p.err),
                    ]
                    with m.If(word == 0):
                        with m.If(out_of_pages):
                            m.d.comb += [store_write.en.eq(0), count.full.eq(1)]
                            m.d.sync += bad.eq(1)
                            m.next = "DISCARD"
                        with m.Else():
                            m.d.comb += free_list.take.eq(1)
                            m.d.sync += [page.eq(free_list.next), used.eq(used + 1)]
                            with m.If(~begun):
                                m.d.sync += first.eq(free_list.next)
                    with m.If(self.i.p.last):
                        m.d.comb += count.error.eq(self.i.p.err & ~count.full)
                        m.next = "ANSWER"
            with m.State("DISCARD"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.p.last):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                with m.If(~self.o_page.valid | self.o_page.ready):
                    m.d.comb += [
                        count.packets.eq(~bad), free_list.commit.eq(~bad), free_list.rollback.eq(bad),
                        answer.eq(1), info_write.en.eq(~bad), info_write.addr.eq(first),
                        info_write.data.live.eq(1), info_write.data.length.eq(length),
                        info_write.data.tail.eq(page), info_write.data.count.eq(used),
                    ]
                    m.d.sync += [
                        self.o_page.valid.eq(1), self.o_page.p.ref.eq(first), self.o_page.p.length.eq(length),
                        self.o_page.p.ok.eq(~bad),
                        begun.eq(0), bad.eq(0), word.eq(0), length.eq(0), used.eq(0),
                    ]
                    m.next = "WRITE"
        return swept, answer

    def _free(self, m, free_list, info_write, info_free, swept, answer):
        """Chains back to the free list."""
        freed = Signal(16)
        m.d.comb += info_free.addr.eq(Mux(self.i_free.ready, self.i_free.payload, freed))
        m.d.comb += [
            free_list.i_free.p.head.eq(freed), free_list.i_free.p.tail.eq(info_free.data.tail),
            free_list.i_free.p.count.eq(info_free.data.count),
        ]
        with m.FSM():
            with m.State("ACCEPT"):
                m.d.comb += self.i_free.ready.eq(swept)
                with m.If(self.i_free.valid & swept):
                    m.d.sync += freed.eq(self.i_free.payload)
                    m.next = "CHECK"
            with m.State("CHECK"):
                with m.If((freed < self.params.scratch_pages) & info_free.data.live):
                    m.next = "FREE"
                with m.Else():
                    m.d.comb += self.count.bad_free.eq(1)
                    m.next = "ACCEPT"
            with m.State("FREE"):
                with m.If(~answer):             # one write port: an answer goes first
                    m.d.comb += free_list.i_free.valid.eq(1)
                    with m.If(free_list.i_free.ready):
                        m.d.comb += [info_write.en.eq(1), info_write.addr.eq(freed)]
                        m.next = "ACCEPT"
