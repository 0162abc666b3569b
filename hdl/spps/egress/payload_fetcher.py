"""Second stage of the output processor: payload into a frame buffer, checksums.

Source: patent §IV (buses 246, 248); RFC 1071, RFC 791 3.1, RFC 6864 (identification).
"""
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..layouts.message import SocketRead
from ..layouts.packet import packet_signature
from .frame import ETHERNET, IPV4, TCP, FrameRequest, OutputRequest

__all__ = ["PayloadFetcher", "payload_words"]


def payload_words(params):
    """Words of a frame buffer, a power of two."""
    longest = params.max_frame - ETHERNET - IPV4 - TCP
    return 1 << ceil_log2(-(-longest // params.data_bytes))


class PayloadFetcher(wiring.Component):
    """Reads the payload of a request from socket memory into one of two buffers, sums it and completes both checksums.

    The two buffers take turns. A frame is handed over straight to the assembler, which takes it only when the frame
    before has left its buffer; hence the buffer written here is never the one being read.

    Parameters: params.
    Members: i: request; o_read, i_data: socket memory; w_*: write port of the frame buffers; o: frame, held until taken;
    ttl: time to live.
    Latency: 5 clocks without payload; with payload 3 more after its last word. Throughput: one word per clock.
    Backpressure: `i_data` is always taken once asked for.
    Drop: `read_error`: the answer had `err` or another length than asked for. Reset: idle, identification 0.
    """

    COUNTERS = ("read_error",)

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i": In(stream.Signature(OutputRequest)),
            "o_read": Out(stream.Signature(SocketRead)),
            "i_data": In(packet_signature(params.data_width)),
            "w_en": Out(1),
            "w_addr": Out(range(2 * payload_words(params))),
            "w_data": Out(params.data_width),
            "o": Out(stream.Signature(FrameRequest)),
            "ttl": In(8),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        n = self._params.data_bytes
        words = payload_words(self._params)
        frame = Signal(FrameRequest)
        left = Signal(14)           # payload bytes still to come
        wrong = Signal()            # an earlier word of the answer was too many
        row = Signal(range(words))
        identification = Signal(16)
        word = self.i_data.payload
        got = Signal(range(n + 1))

        # sums: words are added up in two steps, so that no clock adds more than the halves of one word
        masked = Signal(self._params.data_width)
        halves = Signal(range(0xFFFF * (n // 2) + 1))
        tcp = Signal(32)
        ip = Signal(20)

        def fold(value):
            return value[:16] + value[16:]

        m.d.comb += [
            got.eq(Mux(word.last, n - word.empty, n)),
            self.o.payload.eq(frame),
            self.o_read.payload.address.offset.eq(frame.body.seq),
            self.o_read.payload.address.ring.eq(frame.body.ring),
            self.o_read.payload.length.eq(frame.payload_bytes),
            self.w_addr.eq(Cat(row, frame.buffer)),
            self.w_data.eq(masked),
        ]
        for i in range(n):          # unused bytes are zero in buffer and sum
            m.d.comb += masked[8 * i:8 * i + 8].eq(Mux(word.last & (i < word.empty), 0, word.data[8 * i:8 * i + 8]))
        m.d.sync += halves.eq(0)
        m.d.sync += tcp.eq(tcp + halves)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.i.ready.eq(1)
                request = self.i.payload
                length = Mux(request.arp, 0, request.body.length[:14])
                m.d.sync += [
                    frame.body.eq(request.body),
                    frame.arp.eq(request.arp),
                    frame.options.eq(request.options),
                    frame.header_bytes.eq(request.header_bytes),
                    frame.frame_bytes.eq(request.frame_bytes),
                    frame.payload_bytes.eq(length),
                    left.eq(length),
                    frame.ttl.eq(self.ttl),
                    wrong.eq(0),
                    row.eq(0),
                    tcp.eq(request.tcp_sum),
                    # version and header length, DF, protocol 6
                    ip.eq(request.address_sum + Cat(Const(6, 8), self.ttl) + 0x8500),
                ]
                with m.If(self.i.valid):
                    m.next = "READ"
                    with m.If(length == 0):
                        m.next = "LENGTH"
            with m.State("READ"):
                m.d.comb += self.o_read.valid.eq(1)
                with m.If(self.o_read.ready):
                    m.next = "DATA"
            with m.State("DATA"):
                m.d.comb += [self.i_data.ready.eq(1), self.w_en.eq(self.i_data.valid & (left != 0))]
                with m.If(self.i_data.valid):
                    m.d.sync += [
                        row.eq(row + 1),
                        left.eq(Mux(left < got, 0, left - got)),
                        wrong.eq(wrong | (left < got)),
                        halves.eq(sum(masked[16 * i:16 * i + 16] for i in range(n // 2))),
                    ]
                    with m.If(word.last):
                        m.next = "LENGTH"
                        with m.If(word.err | wrong | (left != got)):
                            m.d.comb += self.count.eq(1)
                            m.next = "IDLE"
            with m.State("LENGTH"):     # the last halves of the payload are added in this clock
                m.d.sync += ip.eq(ip + (frame.frame_bytes - ETHERNET)[:14])
                m.next = "IDENTIFICATION"
            with m.State("IDENTIFICATION"):
                m.d.sync += [ip.eq(ip + identification), frame.identification.eq(identification), tcp.eq(fold(tcp))]
                with m.If(~frame.arp):
                    m.d.sync += identification.eq(identification + 1)
                m.next = "FOLD"
            with m.State("FOLD"):
                m.d.sync += [ip.eq(fold(ip)), frame.tcp_checksum.eq(~fold(tcp))]
                m.next = "INVERT"
            with m.State("INVERT"):
                m.d.sync += frame.ip_checksum.eq(~fold(ip))
                m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += frame.buffer.eq(~frame.buffer)
                    m.next = "IDLE"
        return m
