"""Read side of the socket memory: payload for the output processor.

Source: patent §IV (buses 246, 248).
"""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..layouts.message import SocketRead
from ..layouts.packet import packet_layout, packet_signature
from ..lib.skid_buffer import SkidBuffer

__all__ = ["SocketReader"]


class SocketReader(wiring.Component):
    """Answers each SocketRead with one packet, left-aligned, unused bytes zero.

    Parameters: params.
    Members: i_read, o_data (`port` is 0); r_*: read port of RingMemory.
    Latency: 3 clocks from request to first word. Throughput: one word per clock; 1 clock between requests.
    Backpressure: `o_data.ready` is registered, then stops the read pipeline; nothing is lost.
    Drop: `bad_reads`: conn out of range, length 0 or above socket_bytes: answered by one word with `err`, memory untouched.
    Reset: idle.
    """

    COUNTERS = ("reads", "bad_reads")

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i_read": In(stream.Signature(SocketRead)),
            "o_data": Out(packet_signature(params.data_width)),
            "r_en": Out(1),
            "r_ring": Out(range(2 * params.connections)),
            "r_offset": Out(range(params.socket_bytes)),
            "r_data": In(params.data_width),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        params = self._params
        n = params.data_bytes
        shift = exact_log2(n)
        m.submodules.skid = skid = SkidBuffer(packet_layout(params.data_width))
        wiring.connect(m, wiring.flipped(self.o_data), skid.o)

        request = self.i_read.payload
        busy = Signal()
        bad = Signal()
        left = Signal(16)       # bytes still to be issued
        final = Signal()        # this issue is the last of its request
        refused = ((request.address.ring.conn >= params.connections) | (request.length > params.socket_bytes)
                   | (request.length == 0))
        # stage: the word in the output register of the memory
        held, held_last, held_err = Signal(), Signal(), Signal()
        held_empty = Signal(shift)
        step = Signal()         # the stage is free or becomes free

        m.d.comb += [
            step.eq(~held | skid.i.ready),
            final.eq(bad | (left <= n)),
            self.i_read.ready.eq(~busy),
            self.r_en.eq(busy & step & ~bad),
        ]
        with m.If(self.i_read.valid & ~busy):
            m.d.sync += [
                busy.eq(1),
                bad.eq(refused),
                left.eq(request.length),
                self.r_ring.eq(Cat(request.address.ring.direction, request.address.ring.conn)),
                self.r_offset.eq(request.address.offset),
            ]
            m.d.comb += self.count.eq(Mux(refused, 0b10, 0b01))
        with m.If(busy & step):
            m.d.sync += [
                left.eq(left - n),
                self.r_offset.eq(self.r_offset + n),
                busy.eq(~final),
            ]
        with m.If(step):
            m.d.sync += [
                held.eq(busy),
                held_last.eq(final),
                held_err.eq(bad),
                held_empty.eq(Mux(final & ~bad, -left[:shift], 0)),
            ]

        m.d.comb += [
            skid.i.valid.eq(held),
            skid.i.payload.last.eq(held_last),
            skid.i.payload.err.eq(held_err),
            skid.i.payload.empty.eq(held_empty),
        ]
        for i in range(n):      # byte i counted from the least significant
            byte = skid.i.payload.data[8 * i:8 * i + 8]
            m.d.comb += byte.eq(Mux(held_err | (i < held_empty), 0, self.r_data[8 * i:8 * i + 8]))
        return m
