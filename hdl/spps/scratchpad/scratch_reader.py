"""Reads of stored payload by reference, skip and length."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..layouts.packet import packet_signature
from ..layouts.scratchpad import ScratchRead
from ..lib.counters import Counters
from ..lib.packet_slice import PacketSlice

__all__ = ["ScratchReader", "info_layout"]


def info_layout(pages):
    """Return the layout of the record of a chain: live, length in bytes, last page, number of pages."""
    return data.StructLayout({"live": 1, "length": 16, "tail": range(pages), "count": range(pages + 1)})


class ScratchReader(wiring.Component):
    """Answer each read with one packet of bytes [skip, skip + length) of a chain, left-aligned.

    Parameters
    ----------
    params : SppsParams
        Uses data_width, scratch_pages, scratch_page_bytes.

    Members
    -------
    i : In(stream of ScratchRead)
        Reads.
    o : Out(stream of packet)
        One packet per read, in order.
    info_page : Out(range(scratch_pages))
        First page of the chain that is read.
    info : In(info_layout(scratch_pages))
        Its record, one clock after `info_page`.
    link_page : Out(range(scratch_pages))
        The page that is read.
    link_next : In(range(scratch_pages))
        The page behind it, one clock after `link_page`.
    address : Out(unsigned), words
        Word of the page memory.
    enable : Out(1)
        Read `address`.
    data : In(data_width)
        The word, one clock after `address` with `enable`.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency 5 clocks, and 2 more per page skipped. Throughput one word per clock, 4 clocks more per read.
    `i` waits for `o`. `o.ready` reaches `enable` combinationally.

    Drop
    ----
    None. A refused read is answered with one word with err.

    Reset
    -----
    Idle.

    Source
    ------
    Patent §II, F2 210.
    """

    COUNTERS = Counters({
        "bad_read": "reads of a dead reference, of no bytes or beyond the stored length, answered with err",
    })

    def __init__(self, params):
        self.params = params
        pages = params.scratch_pages
        words = params.scratch_page_bytes // params.data_bytes
        super().__init__({
            "i": In(stream.Signature(ScratchRead)), "o": Out(packet_signature(params.data_width)),
            "info_page": Out(range(pages)), "info": In(info_layout(pages)),
            "link_page": Out(range(pages)), "link_next": In(range(pages)),
            "address": Out(range(pages * words)), "enable": Out(1), "data": In(params.data_width),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.params
        lane_bits = exact_log2(p.data_bytes)
        page_bits = exact_log2(p.scratch_page_bytes)
        word_bits = page_bits - lane_bits

        m.submodules.slice = cut = PacketSlice(p.data_width)
        request = Signal(ScratchRead)
        page = Signal(range(p.scratch_pages))
        word = Signal(word_bits)
        hops = Signal(16 - page_bits + 1)
        left = Signal(16 - lane_bits + 1)       # words still to be read
        fetched, fetched_last, refused = Signal(), Signal(), Signal()
        total = Signal(17)
        m.d.comb += [
            total.eq(request.skip + request.length),
            cut.start.eq(request.skip[:lane_bits]), cut.end.eq(request.skip[:lane_bits] + request.length),
            cut.i.valid.eq(fetched), cut.i.p.data.eq(self.data), cut.i.p.last.eq(fetched_last),
            self.info_page.eq(Mux(self.i.ready, self.i.p.ref, request.ref)),
            self.link_page.eq(page), self.address.eq(page << word_bits | word),
        ]
        with m.If(refused):
            m.d.comb += [self.o.valid.eq(1), self.o.p.last.eq(1), self.o.p.err.eq(1)]
            with m.If(self.o.ready):
                m.d.sync += refused.eq(0)
        with m.Else():
            m.d.comb += [self.o.valid.eq(cut.o.valid), self.o.payload.eq(cut.o.payload), cut.o.ready.eq(self.o.ready)]
        with m.If(cut.i.ready):
            m.d.sync += fetched.eq(0)

        with m.FSM():
            with m.State("ACCEPT"):
                m.d.comb += self.i.ready.eq(~cut.busy & ~fetched & ~refused)
                with m.If(self.i.ready & self.i.valid):
                    m.d.sync += request.eq(self.i.payload)
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += [
                    page.eq(request.ref), word.eq(request.skip[lane_bits:page_bits]), hops.eq(request.skip[page_bits:]),
                    left.eq((request.skip[:lane_bits] + request.length + p.data_bytes - 1) >> lane_bits),
                ]
                with m.If((request.ref < p.scratch_pages) & self.info.live & (request.length != 0)
                          & (total <= self.info.length)):
                    m.next = "LINK"
                with m.Else():
                    m.d.comb += self.count.bad_read.eq(1)
                    m.d.sync += refused.eq(1)
                    m.next = "ACCEPT"
            with m.State("LINK"):               # link_next of `page` arrives in the next clock
                with m.If(hops == 0):
                    m.next = "READ"
                with m.Else():
                    m.next = "HOP"
            with m.State("HOP"):
                m.d.sync += [page.eq(self.link_next), hops.eq(hops - 1)]
                m.next = "LINK"
            with m.State("READ"):
                m.d.comb += self.enable.eq(~fetched | cut.i.ready)
                with m.If(self.enable):
                    m.d.sync += [fetched.eq(1), fetched_last.eq(left == 1), left.eq(left - 1), word.eq(word + 1)]
                    with m.If(word == (1 << word_bits) - 1):
                        m.d.sync += page.eq(self.link_next)
                    with m.If(left == 1):
                        m.next = "ACCEPT"
        return m
