"""Payload from the scratchpad into the pages of a ring."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature
from .page_directory import PageOp, PageVerdict, page_request
from .storage import write_signature

__all__ = ["PageWriter", "WriteResult", "write_request"]


def write_request(geometry):
    """Return the layout of a copy: `length` bytes of a ring from `offset` on, in pages of `pool`."""
    return data.StructLayout({"ring": range(geometry.rings), "pool": range(geometry.pools), "offset": 32, "length": 16})


class WriteResult(data.Struct):
    """How a copy ended: well, when no bit is set."""

    scratch_error: 1    # the answer had err or another length
    no_page: 1
    bad_page: 1
    write_error: 1      # of the storage


class PageWriter(wiring.Component):
    """Writes one packet to `length` bytes of a ring from `offset` on, page by page.

    A page is mapped while the rows of the one before are written.

    Parameters
    ----------
    geometry : Geometry
        Where pages are.
    width : int
        Bits of a word.

    Members
    -------
    i : In(stream of write_request)
        A copy.
    i_scratch : In(stream of packet)
        Its bytes; taken whole also when the copy fails.
    o_page : Out(stream of page_request)
        MAP, to PageDirectory.
    answer : In(1)
        It is answered: `verdict` and `granule` hold.
    verdict : In(PageVerdict)
        Whether there is a page.
    granule : In(range(granules))
        Its first granule.
    bus : Out(write_signature)
        The storage.
    done : Out(1)
        The packet was taken and the storage has written all bursts; `result` holds.
    result : Out(WriteResult)
        How the copy ended.

    Timing
    ------
    Latency 3 clocks from the request to the first row, and 3 from the last row to `done`. Throughput 1 word per clock,
    and 1 clock more when the last word ends in a further row. `i_scratch` waits for pages and for the storage.

    Drop
    ----
    Words behind the last page that was mapped. Rows that the packet is too short for are written with undefined bytes.
    `result` tells both.

    Reset
    -----
    Idle.

    Source
    ------
    Patent §IV (virtual buffer offset).
    """

    def __init__(self, geometry, width):
        self.geometry, self.width = geometry, width
        super().__init__({
            "i": In(stream.Signature(write_request(geometry))), "i_scratch": In(packet_signature(width)),
            "o_page": Out(stream.Signature(page_request(geometry))),
            "answer": In(1), "verdict": In(PageVerdict), "granule": In(range(geometry.granules)),
            "bus": Out(write_signature(geometry)), "done": Out(1), "result": Out(WriteResult),
        })

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        busy, mapping = Signal(), Signal()
        ring_request = Signal(write_request(g))
        to_map = Signal(17 - g.lane_bits)       # rows whose page is not known yet
        to_write = Signal(17 - g.lane_bits)     # rows not written yet
        granted = Signal(17 - g.lane_bits)      # of these, in pages that are known
        pending = Signal(17 - g.lane_bits)      # bursts the storage has not finished
        start = Signal(g.lane_bits)
        rows = Signal(17 - g.lane_bits)
        m.d.comb += rows.eq((self.i.p.offset[:g.lane_bits] + self.i.p.length + g.lanes - 1)[g.lane_bits:])

        m.d.comb += self.i.ready.eq(~busy)
        with m.If(self.i.valid & ~busy):
            m.d.sync += [busy.eq(1), mapping.eq(1), ring_request.eq(self.i.payload), to_map.eq(rows), to_write.eq(rows),
                         self.result.eq(0)]

        self._map(m, ring_request, mapping, to_map, granted, pending)
        m.d.comb += start.eq(ring_request.offset)
        self._move(m, busy, mapping, ring_request, start, to_write, granted)
        return m

    def _map(self, m, request, mapping, to_map, granted, pending):
        """Map pages; one burst per page."""
        g, bus = self.geometry, self.bus
        offset = Signal(32)
        burst = Signal(g.burst_layout())
        room = Signal(range(g.max_rows + 1))
        row = Signal(range(g.max_rows))
        self.grant = grant = Signal(range(g.max_rows + 1))
        m.d.comb += [
            row.eq(g.row_in_page(offset, request.pool)), room.eq(g.page_rows(request.pool) - row),
            self.o_page.p.op.eq(PageOp.MAP), self.o_page.p.ring.eq(request.ring), self.o_page.p.pool.eq(request.pool),
            self.o_page.p.offset.eq(offset), bus.burst.payload.eq(burst),
        ]
        with m.FSM(name="pages"):
            with m.State("IDLE"):
                m.d.sync += offset.eq(self.i.p.offset)
                with m.If(self.i.valid & self.i.ready):
                    m.next = "ASK"
            with m.State("ASK"):
                m.d.comb += self.o_page.valid.eq(1)
                m.d.sync += burst.rows.eq(Mux(to_map < room, to_map, room))
                with m.If(self.o_page.ready):
                    m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += burst.row.eq(g.row(self.granule, row))
                with m.If(self.answer):
                    m.next = "BURST"
                    with m.If(self.verdict != PageVerdict.OK):
                        m.d.sync += [mapping.eq(0), self.result.no_page.eq(self.verdict == PageVerdict.NO_PAGE),
                                     self.result.bad_page.eq(self.verdict == PageVerdict.BAD_PAGE)]
                        m.next = "IDLE"
            with m.State("BURST"):
                m.d.comb += bus.burst.valid.eq(1)
                with m.If(bus.burst.ready):
                    m.d.comb += grant.eq(burst.rows)
                    m.d.sync += [to_map.eq(to_map - burst.rows),
                                 offset.eq(Cat(offset[:g.lane_bits], offset[g.lane_bits:] + burst.rows))]
                    m.next = "ASK"
                    with m.If(to_map == burst.rows):
                        m.d.sync += mapping.eq(0)
                        m.next = "IDLE"
        started = Signal()
        m.d.comb += started.eq(grant != 0)
        m.d.sync += pending.eq(pending + started - bus.written)
        self.pending = pending
        with m.If(bus.written & bus.error):
            m.d.sync += self.result.write_error.eq(1)

    def _move(self, m, busy, mapping, request, start, to_write, granted):
        """Turn words into rows."""
        g, bus = self.geometry, self.bus
        word, n = self.i_scratch.payload, g.lanes
        lanes = [word.data[8 * (n - 1 - i):8 * (n - i)] for i in range(n)]
        for bit in range(g.lane_bits):          # byte k goes to lane (start + k) mod n
            step = 1 << bit
            lanes = [Mux(start[bit], lanes[i - step], lanes[i]) for i in range(n)]
        carried = Signal(8 * n)                 # the word before, turned
        turned = Signal(8 * n)
        m.d.comb += turned.eq(Cat(*reversed(lanes)))
        row_data = bus.row.p.data
        end = Signal(g.lane_bits)               # bytes of the last row, 0: all
        first, ended = Signal(), Signal()
        last = Signal()
        m.d.comb += [last.eq(to_write == 1), end.eq(request.offset + request.length)]
        for i in range(n):
            byte = slice(8 * (n - 1 - i), 8 * (n - i))
            m.d.comb += [
                row_data[byte].eq(Mux(i < start, carried[byte], turned[byte])),
                bus.row.p.strobe[i].eq(~(first & (i < start)) & ~(last & (end != 0) & (i >= end))),
            ]
        left = Signal(16)                       # bytes that the packet still owes
        got = Signal(range(n + 1))
        refused = Signal()                      # what is left has no page
        m.d.comb += [
            got.eq(Mux(word.last, n - word.empty, n)),
            refused.eq(~mapping & (granted == 0)),
            bus.row.valid.eq(busy & (granted != 0) & (self.i_scratch.valid | ended)),
            self.i_scratch.ready.eq(busy & ~ended & (bus.row.ready & (granted != 0) | refused)),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [first.eq(1), ended.eq(0), left.eq(self.i.p.length)]
        row_goes = Signal()
        m.d.comb += row_goes.eq(bus.row.valid & bus.row.ready)
        m.d.sync += granted.eq(granted + self.grant - row_goes)
        with m.If(row_goes):
            m.d.sync += [first.eq(0), to_write.eq(to_write - 1)]
        with m.If(self.i_scratch.valid & self.i_scratch.ready):
            m.d.sync += [carried.eq(turned), left.eq(left - got)]
            with m.If(word.last):
                m.d.sync += ended.eq(1)
                with m.If(word.err | (left != got)):
                    m.d.sync += self.result.scratch_error.eq(1)
        with m.If(busy & ended & refused & (self.pending == 0)):
            m.d.sync += busy.eq(0)
            m.d.comb += self.done.eq(1)
