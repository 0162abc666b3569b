"""Read side of the socket memory: payload for the output processor.

Source: patent §IV (buses 246, 248).
"""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_layout, packet_signature
from ..layouts.socket import SocketRead
from ..lib.packet_slice import PacketSlice
from ..lib.skid_buffer import SkidBuffer
from .storage import read_signature

__all__ = ["SocketReader"]


class SocketReader(wiring.Component):
    """Answers each SocketRead with one packet, left-aligned, unused bytes zero.

    Parameters: params, geometry.
    Members: i_read, o_data (`port` is 0); l_*, freed*: PageDirectory; flush: all pages are being freed; bus: the storage.
    Latency: 6 clocks from request to first word with on-chip storage. Throughput: one word per clock, also across pages; 8 clocks more per request.
    Backpressure: `o_data.ready` is registered, then stops the read pipeline; nothing is lost.
    Drop: `bad_reads`: conn out of range, length 0 or above socket_bytes; `stale_reads`: a page is not there, or was freed before its last
    row had come; `read_error`: of the storage. Each is answered by a packet that ends in a word with `err`. Reset: idle.
    """

    COUNTERS = ("reads", "bad_reads", "stale_reads", "read_error")

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
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        params, g = self._params, self.geometry
        m.submodules.slice = cut = PacketSlice(params.data_width)
        m.submodules.skid = skid = SkidBuffer(packet_layout(params.data_width))
        wiring.connect(m, cut.o, skid.i)
        wiring.connect(m, wiring.flipped(self.o_data), skid.o)

        request = Signal(SocketRead)
        offset = Signal(32)                         # of the page looked up
        to_find = Signal(17 - g.lane_bits)          # rows whose page is not known yet
        to_come = Signal(17 - g.lane_bits)          # rows that the packet still needs
        granted = Signal(17 - g.lane_bits)          # of these, asked from the storage
        grant = Signal(range(g.max_rows + 1))
        burst = Signal(g.burst_layout())
        active, refused, missing, stale, broken = (Signal(name=n) for n in ("active", "refused", "missing", "stale", "broken"))
        row, room = Signal(range(g.max_rows)), Signal(range(g.max_rows + 1))
        pool = request.address.ring.pool
        first_page = Signal(g.page_bits)
        m.d.comb += [
            self.l_ring.eq(Cat(request.address.ring.direction, request.address.ring.conn)), self.l_pool.eq(pool), self.l_offset.eq(offset),
            row.eq(g.row_in_page(offset, pool)), room.eq(g.page_rows(pool) - row),
            first_page.eq(g.virtual_page(request.address.offset, pool)),
            self.bus.burst.payload.eq(burst),
            cut.start.eq(Mux(refused, 0, request.address.offset[:g.lane_bits])),
            cut.end.eq(Mux(refused, 1, request.address.offset[:g.lane_bits] + request.length)),
        ]

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.i_read.ready.eq(~active & ~cut.busy)
                taken = self.i_read.payload
                with m.If(self.i_read.valid & self.i_read.ready):
                    m.d.sync += [request.eq(taken), offset.eq(taken.address.offset), active.eq(1), refused.eq(0), missing.eq(0), stale.eq(0), broken.eq(0)]
                    m.next = "CHECK"
            with m.State("CHECK"):
                needed = (request.address.offset[:g.lane_bits] + request.length + g.lanes - 1)[g.lane_bits:]
                m.d.sync += [to_find.eq(needed), to_come.eq(needed)]
                m.next = "FOUND"
                with m.If((request.address.ring.conn >= params.connections) | (request.length > params.socket_bytes)
                          | (request.length == 0)):
                    m.d.sync += refused.eq(1)
                    m.next = "IDLE"
            with m.State("FOUND"):
                m.d.sync += [burst.row.eq(g.row(self.l_granule, row)), burst.rows.eq(Mux(to_find < room, to_find, room))]
                m.next = "BURST"
                with m.If(~self.l_hit):
                    m.d.sync += missing.eq(1)
                    m.next = "IDLE"
            with m.State("BURST"):
                m.d.comb += self.bus.burst.valid.eq(1)
                with m.If(self.bus.burst.ready):
                    m.d.comb += grant.eq(burst.rows)
                    m.d.sync += [to_find.eq(to_find - burst.rows),
                                 offset.eq(Cat(offset[:g.lane_bits], offset[g.lane_bits:] + burst.rows))]
                    m.next = "LOOK"
                    with m.If(to_find == burst.rows):
                        m.next = "IDLE"
            with m.State("LOOK"):
                m.next = "FOUND"

        # rows, or the word that says why there are none
        fails = Signal()
        bad = Signal()
        answer = self.bus.answer
        m.d.comb += [
            fails.eq(active & (refused | missing) & (granted == 0)),
            cut.i.valid.eq(fails | answer.valid), answer.ready.eq(cut.i.ready & ~fails),
            cut.i.p.data.eq(Mux(fails, 0, answer.p.data)), cut.i.p.last.eq(fails | (to_come == 1)),
            bad.eq(stale | broken | (answer.valid & answer.p.err)), cut.i.p.err.eq(fails | bad),
        ]
        row_comes = Signal()
        m.d.comb += row_comes.eq(answer.valid & answer.ready)
        m.d.sync += granted.eq(granted + grant - row_comes)
        with m.If(row_comes):
            m.d.sync += [to_come.eq(to_come - 1), broken.eq(broken | answer.p.err)]
        behind = Signal(g.page_bits)
        m.d.comb += behind.eq(self.freed_page - first_page)
        with m.If(active & (self.flush | (self.freed & (self.freed_ring == self.l_ring) & ~g.ahead(behind, pool)[1]))):
            m.d.sync += stale.eq(1)
        with m.If(cut.i.valid & cut.i.ready & cut.i.p.last):
            m.d.sync += active.eq(0)
            with m.If(refused):
                m.d.comb += self.count[1].eq(1)
            with m.Elif(missing | stale):
                m.d.comb += self.count[2].eq(1)
            with m.Elif(bad):
                m.d.comb += self.count[3].eq(1)
            with m.Else():
                m.d.comb += self.count[0].eq(1)
        return m
