"""Read side of the socket memory: payload for the output processor.

Source: patent §IV (buses 246, 248).
"""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_layout, packet_signature
from ..layouts.socket import SocketRead
from ..lib.counters import Counters
from ..lib.packet_slice import PacketSlice
from ..lib.skid_buffer import SkidBuffer
from .storage import read_signature

__all__ = ["SocketReader"]


class SocketReader(wiring.Component):
    """Answers each SocketRead with one packet, left-aligned, unused bytes zero.

    Parameters
    ----------
    params : SppsParams
        connections, socket_bytes, data_width.
    geometry : Geometry
        Where pages are.

    Members
    -------
    i_read : In(stream of SocketRead)
        Reads.
    o_data : Out(stream of packet)
        One answer per read, in order; `port` is 0.
    l_ring : Out(range(rings))
        Look-up in PageDirectory: ring.
    l_pool : Out(range(pools))
        Look-up: pool.
    l_offset : Out(32)
        Look-up: byte.
    l_hit : In(1)
        One clock later: the page is there.
    l_granule : In(range(granules))
        One clock later: its first granule.
    freed : In(1)
        A page becomes free in this clock.
    freed_ring : In(range(rings))
        With `freed`: its ring.
    freed_page : In(page_bits)
        With `freed`: its virtual page number.
    flush : In(1)
        All pages are about to become free.
    bus : Out(read_signature)
        The storage.
    count : Out(COUNTERS.layout)
        Each read counts once, with the last word of its answer.

    Timing
    ------
    Latency 6 clocks from a read to its first word with on-chip storage. Throughput 1 row per clock, also across pages,
    and 6 clocks per read. `o_data.ready` is registered, then stops the pipeline.

    Drop
    ----
    None: `bad_reads`, `stale_reads` and `read_error` are answered by a packet that ends in a word with `err`.

    Reset
    -----
    Idle.

    Source
    ------
    Patent §IV (buses 246, 248).
    """

    COUNTERS = Counters({
        "reads": "reads answered with their bytes",
        "bad_reads": "reads of a connection that does not exist, of 0 bytes or of more than socket_bytes",
        "stale_reads": "reads of a page that was not there or was freed before its last row came",
        "read_error": "reads with an error response of external memory",
    })

    def __init__(self, params, geometry):
        self._params, self.geometry = params, geometry
        g = geometry
        super().__init__({
            "i_read": In(stream.Signature(SocketRead)),
            "o_data": Out(packet_signature(params.data_width)),
            "l_ring": Out(range(g.rings)), "l_pool": Out(range(g.pools)), "l_offset": Out(32),
            "l_hit": In(1), "l_granule": In(range(g.granules)),
            "freed": In(1), "freed_ring": In(range(g.rings)), "freed_page": In(g.page_bits), "flush": In(1),
            "bus": Out(read_signature(g)),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        params, g = self._params, self.geometry
        m.submodules.slice = self._cut = cut = PacketSlice(params.data_width)
        m.submodules.skid = skid = SkidBuffer(packet_layout(params.data_width))
        wiring.connect(m, cut.o, skid.i)
        wiring.connect(m, wiring.flipped(self.o_data), skid.o)

        self._request = request = Signal(SocketRead)
        self._serving, self._refused, self._missing = Signal(), Signal(), Signal()
        self._grant = Signal(range(g.max_rows + 1))         # rows asked from the storage in this clock
        self._to_come = Signal(17 - g.lane_bits)            # rows that the packet still needs
        first = request.address.offset[:g.lane_bits]
        m.d.comb += [
            self.l_ring.eq(Cat(request.address.ring.direction, request.address.ring.conn)),
            self.l_pool.eq(request.address.ring.pool),
            cut.start.eq(Mux(self._refused, 0, first)), cut.end.eq(Mux(self._refused, 1, first + request.length)),
        ]
        self._ask(m)
        self._answer(m)
        return m

    def _ask(self, m):
        """Look pages up, ask the storage for their rows: one burst per page."""
        params, g, request = self._params, self.geometry, self._request
        offset = Signal(32)                         # of the page looked up
        to_find = Signal(17 - g.lane_bits)          # rows whose page is not known yet
        burst = Signal(g.burst_layout())
        row, room = Signal(range(g.max_rows)), Signal(range(g.max_rows + 1))
        m.d.comb += [
            self.l_offset.eq(offset), row.eq(g.row_in_page(offset, self.l_pool)),
            room.eq(g.page_rows(self.l_pool) - row),
            self.bus.burst.payload.eq(burst),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.i_read.ready.eq(~self._serving & ~self._cut.busy)
                taken = self.i_read.payload
                with m.If(self.i_read.valid & self.i_read.ready):
                    m.d.sync += [
                        request.eq(taken), offset.eq(taken.address.offset),
                        self._serving.eq(1), self._refused.eq(0), self._missing.eq(0),
                    ]
                    m.next = "CHECK"
            with m.State("CHECK"):
                needed = (request.address.offset[:g.lane_bits] + request.length + g.lanes - 1)[g.lane_bits:]
                m.d.sync += [to_find.eq(needed), self._to_come.eq(needed)]
                m.next = "FOUND"
                with m.If((request.address.ring.conn >= params.connections) | (request.length > params.socket_bytes)
                          | (request.length == 0)):
                    m.d.sync += self._refused.eq(1)
                    m.next = "IDLE"
            with m.State("FOUND"):
                m.d.sync += [
                    burst.row.eq(g.row(self.l_granule, row)), burst.rows.eq(Mux(to_find < room, to_find, room)),
                ]
                m.next = "BURST"
                with m.If(~self.l_hit):
                    m.d.sync += self._missing.eq(1)
                    m.next = "IDLE"
            with m.State("BURST"):
                m.d.comb += self.bus.burst.valid.eq(1)
                with m.If(self.bus.burst.ready):
                    m.d.comb += self._grant.eq(burst.rows)
                    m.d.sync += [to_find.eq(to_find - burst.rows),
                                 offset.eq(Cat(offset[:g.lane_bits], offset[g.lane_bits:] + burst.rows))]
                    m.next = "LOOK"
                    with m.If(to_find == burst.rows):
                        m.next = "IDLE"
            with m.State("LOOK"):
                m.next = "FOUND"

    def _answer(self, m):
        """Hand rows on, or one word with `err` when there are none."""
        g, request, cut, to_come = self.geometry, self._request, self._cut, self._to_come
        serving, refused, missing, answer = self._serving, self._refused, self._missing, self.bus.answer
        granted = Signal(17 - g.lane_bits)          # rows asked from the storage that have not come
        stale, broken = Signal(), Signal()          # a page was freed; a row came with an error
        fails, bad, row_comes = Signal(), Signal(), Signal()
        m.d.comb += [
            fails.eq(serving & (refused | missing) & (granted == 0)),
            cut.i.valid.eq(fails | answer.valid), answer.ready.eq(cut.i.ready & ~fails),
            cut.i.p.data.eq(Mux(fails, 0, answer.p.data)), cut.i.p.last.eq(fails | (to_come == 1)),
            bad.eq(stale | broken | (answer.valid & answer.p.err)), cut.i.p.err.eq(fails | bad),
            row_comes.eq(answer.valid & answer.ready),
        ]
        m.d.sync += granted.eq(granted + self._grant - row_comes)
        with m.If(self.i_read.valid & self.i_read.ready):
            m.d.sync += [stale.eq(0), broken.eq(0)]
        with m.If(row_comes):
            m.d.sync += [to_come.eq(to_come - 1), broken.eq(broken | answer.p.err)]
        distance = Signal(g.page_bits)              # from the first page of the read to the page that becomes free
        touched = Signal()                          # that page is of this ring and not before the read
        m.d.comb += [
            distance.eq(self.freed_page - g.virtual_page(request.address.offset, self.l_pool)),
            touched.eq((self.freed_ring == self.l_ring) & ~g.ahead(distance, self.l_pool)[1]),
        ]
        with m.If(serving & (self.flush | self.freed & touched)):
            m.d.sync += stale.eq(1)
        with m.If(cut.i.valid & cut.i.ready & cut.i.p.last):
            m.d.sync += serving.eq(0)
            with m.If(refused):
                m.d.comb += self.count.bad_reads.eq(1)
            with m.Elif(missing | stale):
                m.d.comb += self.count.stale_reads.eq(1)
            with m.Elif(bad):
                m.d.comb += self.count.read_error.eq(1)
            with m.Else():
                m.d.comb += self.count.reads.eq(1)
