"""Command side of the socket memory: copies, releases and what is passed on, strictly in order.

Source: patent §IV, §X.A (SMC 758).
"""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.message import (CopyArgument, MessageHeader, MessageKind, ScratchRead, SocketAddress, beat_layout,
                               beat_signature)
from ..layouts.packet import packet_signature
from ..lib.skid_buffer import SkidBuffer

__all__ = ["SocketCommands"]


class SocketCommands(wiring.Component):
    """Executes COPY and RELEASE and passes OUTPUT and SYNC on, one message after the other.

    Parameters: params.
    Members: i_cmd, o_cmd, o_scratch, i_scratch, o_free as in SocketMemoryController; w_*: write port of RingMemory.
    Latency: OUTPUT, SYNC 3 clocks; COPY 5 clocks until the request to the scratchpad, 2 after its last word.
    Throughput: COPY one word per clock; messages passed on take one clock more than they have beats.
    Backpressure: a blocked `o_cmd`, `o_scratch` or `o_free` stops `i_cmd`. `i_scratch` is always taken.
    Drop: `bad_kind` (swallowed); `malformed` COPY without exactly two beats or RELEASE with beats, `bad_conn`,
    `bad_length` above socket_bytes: memory untouched, the chain (when its reference is known) is released;
    `scratch_error`: the scratchpad's answer had `err` or another length; what fits is written.
    Every message counts once. Reset: idle.
    """

    COUNTERS = ("copies", "releases", "outputs", "syncs", "bad_kind", "malformed", "bad_conn", "bad_length",
                "scratch_error")

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i_cmd": In(beat_signature()),
            "o_cmd": Out(beat_signature()),
            "o_scratch": Out(stream.Signature(ScratchRead)),
            "i_scratch": In(packet_signature(params.data_width)),
            "o_free": Out(stream.Signature(16)),
            "w_en": Out(1),
            "w_ring": Out(range(2 * params.connections)),
            "w_offset": Out(range(params.socket_bytes)),
            "w_bytes": Out(range(params.data_bytes + 1)),
            "w_data": Out(params.data_width),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        params = self._params
        n = params.data_bytes
        m.submodules.skid = skid = SkidBuffer(beat_layout())
        wiring.connect(m, wiring.flipped(self.o_cmd), skid.o)

        def count(name):
            return self.count[self.COUNTERS.index(name)].eq(1)

        beat = self.i_cmd.payload
        first = Signal(beat_layout())       # the header beat
        header = Signal(MessageHeader)
        copy = Signal(CopyArgument)
        address = Signal(SocketAddress)
        left = Signal(16)                   # bytes of the copy still to come
        owed = Signal()                     # a chain is to be released when the rest of the message is swallowed
        m.d.comb += header.eq(first.data)
        m.d.comb += self.o_free.payload.eq(copy.ref)
        m.d.comb += [
            self.o_scratch.payload.ref.eq(copy.ref),
            self.o_scratch.payload.skip.eq(copy.skip),
            self.o_scratch.payload.length.eq(copy.length),
        ]

        word = self.i_scratch.payload
        got = Signal(range(n + 1))          # bytes of this word
        m.d.comb += [
            got.eq(Mux(word.last, n - word.empty, n)),
            self.w_ring.eq(Cat(address.ring.direction, address.ring.conn)),
            self.w_offset.eq(address.offset),
            self.w_bytes.eq(Mux(left < got, left, got)),
            self.w_data.eq(word.data),
        ]

        with m.FSM():
            with m.State("HEAD"):
                m.d.comb += self.i_cmd.ready.eq(1)
                m.d.sync += [first.eq(beat), owed.eq(0)]
                with m.If(self.i_cmd.valid):
                    m.next = "DECODE"
            with m.State("DECODE"):
                with m.Switch(header.kind):
                    with m.Case(MessageKind.OUTPUT, MessageKind.SYNC):
                        m.d.comb += [skid.i.valid.eq(1), skid.i.payload.eq(first)]
                        with m.If(skid.i.ready):
                            with m.If(header.kind == MessageKind.OUTPUT):
                                m.d.comb += count("outputs")
                            with m.Else():
                                m.d.comb += count("syncs")
                            m.next = "HEAD"
                            with m.If(~first.last):
                                m.next = "PASS"
                    with m.Case(MessageKind.COPY):
                        m.next = "ARGUMENT"
                        with m.If(first.last):
                            m.d.comb += count("malformed")
                            m.next = "HEAD"
                    with m.Case(MessageKind.RELEASE):
                        m.d.sync += [copy.ref.eq(header.argument[:16]), owed.eq(1)]
                        with m.If(first.last):
                            m.d.comb += count("releases")
                            m.next = "FREE"
                        with m.Else():
                            m.d.comb += count("malformed")
                            m.next = "SWALLOW"
                    with m.Default():
                        m.d.comb += count("bad_kind")
                        m.next = "HEAD"
                        with m.If(~first.last):
                            m.next = "SWALLOW"
            with m.State("PASS"):
                m.d.comb += [
                    skid.i.valid.eq(self.i_cmd.valid),
                    skid.i.payload.eq(beat),
                    self.i_cmd.ready.eq(skid.i.ready),
                ]
                with m.If(self.i_cmd.valid & skid.i.ready & beat.last):
                    m.next = "HEAD"
            with m.State("ARGUMENT"):
                m.d.comb += self.i_cmd.ready.eq(1)
                m.d.sync += [copy.eq(beat.data), owed.eq(1)]
                with m.If(self.i_cmd.valid):
                    m.next = "ADDRESS"
                    with m.If(beat.last):
                        m.d.comb += count("malformed")
                        m.next = "FREE"
            with m.State("ADDRESS"):
                m.d.comb += self.i_cmd.ready.eq(1)
                m.d.sync += [address.eq(beat.data), left.eq(copy.length)]
                with m.If(self.i_cmd.valid):
                    m.next = "CHECK"
                    with m.If(~beat.last):
                        m.d.comb += count("malformed")
                        m.next = "SWALLOW"
            with m.State("CHECK"):
                m.next = "FREE"
                with m.If(address.ring.conn >= params.connections):
                    m.d.comb += count("bad_conn")
                with m.Elif(copy.length > params.socket_bytes):
                    m.d.comb += count("bad_length")
                with m.Elif(copy.length == 0):
                    m.d.comb += count("copies")
                with m.Else():
                    m.next = "REQUEST"
            with m.State("REQUEST"):
                m.d.comb += self.o_scratch.valid.eq(1)
                with m.If(self.o_scratch.ready):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [self.i_scratch.ready.eq(1), self.w_en.eq(self.i_scratch.valid)]
                with m.If(self.i_scratch.valid):
                    m.d.sync += [
                        address.offset.eq(address.offset + n),
                        left.eq(left - self.w_bytes),
                    ]
                    with m.If(word.last):
                        with m.If(word.err | (left != got)):
                            m.d.comb += count("scratch_error")
                        with m.Else():
                            m.d.comb += count("copies")
                        m.next = "FREE"
            with m.State("FREE"):
                m.d.comb += self.o_free.valid.eq(1)
                with m.If(self.o_free.ready):
                    m.next = "HEAD"
            with m.State("SWALLOW"):
                m.d.comb += self.i_cmd.ready.eq(1)
                with m.If(self.i_cmd.valid & beat.last):
                    m.next = "HEAD"
                    with m.If(owed):
                        m.next = "FREE"
        return m
