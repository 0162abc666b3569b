"""Paged memory of payloads."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..layouts.packet import packet_signature
from ..layouts.scratchpad import ScratchPage, ScratchRead
from .page_list import PageList
from .scratch_reader import ScratchReader, info_layout

__all__ = ["Scratchpad"]


class Scratchpad(wiring.Component):
    """Stores each packet in linked pages and names it by its first page.

    Source: patent §II (scratchpad memory 210: pages, reference ID of the first page, an independent byte count).
    Parameters: params: data_width, scratch_pages, scratch_page_bytes.
    Members: i, payloads; o_page, one answer per packet, in order; i_read, o_data: left-aligned bytes [skip, skip + length)
    of a chain; i_free: whole chains; free_pages;
    count, one pulse per COUNTERS entry.
    Latency: answer two clocks after the last word; first word of a read 5 clocks after the request, plus 2 per page skipped.
    Throughput: one word per clock in and out at once; 2 clocks between packets, 4 between reads; a free takes 3 clocks.
    Backpressure: i waits for the answer before to be taken, never for pages; i_read waits for o_data.
    Drop: a packet that finds no page (full) or has err (error) is answered with ok = 0 and keeps no page. A free of what is
    no live
    chain is ignored (bad_free); a read of one, of nothing or beyond the stored length is answered with one word with err
    (bad_read).
    Reset: the list of pages is swept, one page per clock; i waits. The contents are not reset: `live` bits guard them.
    """

    COUNTERS = ("packets", "full", "error", "bad_free", "bad_read")

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i": In(packet_signature(params.data_width)), "o_page": Out(stream.Signature(ScratchPage)),
            "i_read": In(stream.Signature(ScratchRead)), "o_data": Out(packet_signature(params.data_width)),
            "i_free": In(stream.Signature(unsigned(16))), "free_pages": Out(range(params.scratch_pages + 1)),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.params
        pages = p.scratch_pages
        word_bits = exact_log2(p.scratch_page_bytes // p.data_bytes)
        stored, full, error, bad_free, bad_read = (Signal(name=n) for n in self.COUNTERS)
        m.d.comb += self.count.eq(Cat(stored, full, error, bad_free, bad_read))

        m.submodules.list = free_list = PageList(pages)
        m.submodules.reader = reader = ScratchReader(p)
        m.submodules.store = store = memory.Memory(shape=unsigned(p.data_width), depth=pages << word_bits, init=[],
                                                   attrs={"no_rw_check": 1})
        m.submodules.info = info = memory.Memory(shape=info_layout(pages), depth=pages, init=[], attrs={"no_rw_check": 1})
        store_write, store_read = store.write_port(), store.read_port()
        info_write, info_reader, info_free = info.write_port(), info.read_port(), info.read_port()
        wiring.connect(m, reader.i, wiring.flipped(self.i_read))
        wiring.connect(m, reader.o, wiring.flipped(self.o_data))
        m.d.comb += [
            info_reader.addr.eq(reader.info_page), reader.info.eq(info_reader.data), bad_read.eq(reader.bad),
            free_list.link_page.eq(reader.link_page), reader.link_next.eq(free_list.link_next),
            store_read.addr.eq(reader.address), store_read.en.eq(reader.enable), reader.data.eq(store_read.data),
            self.free_pages.eq(free_list.free_pages),
        ]

        first, page = Signal(range(pages)), Signal(range(pages))
        word = Signal(word_bits)                # of the page; 0: a new page is needed
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
                    store_write.addr.eq(Cat(word, Mux(word == 0, free_list.next, page))), store_write.data.eq(self.i.p.data),
                ]
                with m.If(self.i.valid & self.i.ready):
                    m.d.comb += store_write.en.eq(1)
                    m.d.sync += [
                        word.eq(word + 1), length.eq(length + p.data_bytes - Mux(self.i.p.last, self.i.p.empty, 0)), begun.eq(1),
                        bad.eq(self.i.p.err),
                    ]
                    with m.If(word == 0):
                        with m.If(out_of_pages):
                            m.d.comb += [store_write.en.eq(0), full.eq(1)]
                            m.d.sync += bad.eq(1)
                            m.next = "DISCARD"
                        with m.Else():
                            m.d.comb += free_list.take.eq(1)
                            m.d.sync += [page.eq(free_list.next), used.eq(used + 1)]
                            with m.If(~begun):
                                m.d.sync += first.eq(free_list.next)
                    with m.If(self.i.p.last):
                        m.d.comb += error.eq(self.i.p.err & ~full)
                        m.next = "ANSWER"
            with m.State("DISCARD"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid & self.i.p.last):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                with m.If(~self.o_page.valid | self.o_page.ready):
                    m.d.comb += [
                        stored.eq(~bad), free_list.commit.eq(~bad), free_list.rollback.eq(bad),
                        answer.eq(1), info_write.en.eq(~bad), info_write.addr.eq(first),
                        info_write.data.live.eq(1), info_write.data.length.eq(length),
                        info_write.data.tail.eq(page), info_write.data.count.eq(used),
                    ]
                    m.d.sync += [
                        self.o_page.valid.eq(1), self.o_page.p.ref.eq(first), self.o_page.p.length.eq(length), self.o_page.p.ok.eq(~bad),
                        begun.eq(0), bad.eq(0), word.eq(0), length.eq(0), used.eq(0),
                    ]
                    m.next = "WRITE"

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
                with m.If((freed < pages) & info_free.data.live):
                    m.next = "FREE"
                with m.Else():
                    m.d.comb += bad_free.eq(1)
                    m.next = "ACCEPT"
            with m.State("FREE"):
                with m.If(~answer):             # one write port: an answer goes first
                    m.d.comb += free_list.i_free.valid.eq(1)
                    with m.If(free_list.i_free.ready):
                        m.d.comb += [info_write.en.eq(1), info_write.addr.eq(freed)]
                        m.next = "ACCEPT"
        return m
