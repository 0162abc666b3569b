"""Third stage of the output processor: payload into a frame buffer.

Source: patent §IV (buses 246, 248); RFC 1071.
"""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..layouts.headers import ETHERNET_BYTES, IPV4_BYTES, TCP_BYTES
from ..layouts.message import BEAT
from ..layouts.output import OutputBody
from ..layouts.packet import packet_signature
from ..layouts.socket import SocketAddress, SocketRead
from ..lib.counters import Counters
from .frame import STORE_BITS, STORE_ROWS

__all__ = ["PAYLOAD_SUM_BITS", "PayloadFetcher", "payload_words"]

#: of the sum of the halves of a payload of 16383 bytes
PAYLOAD_SUM_BITS = 29


def payload_words(params):
    """Return the words of a frame buffer, a power of two."""
    longest = params.max_frame - ETHERNET_BYTES - IPV4_BYTES - TCP_BYTES
    return 1 << ceil_log2(-(-longest // params.data_bytes))


class PayloadFetcher(wiring.Component):
    """Reads the payloads of ordered outputs from socket memory, one after another, into two buffers, and sums them.

    The two buffers take turns. A payload is `taken` by the assembler, which takes a frame only when the one before has
    left its buffer, or when it would take one; hence the buffer that is written here is never the one that is read.

    Parameters
    ----------
    params : SppsParams
        data_width, max_frame.

    Members
    -------
    wanted : In(1)
        There is an ordered output that was not fetched.
    fetched : Out(1)
        One clock: the oldest such is now.
    r_en : Out(1)
        Read of its slot in the store, executed at once.
    r_row : Out(range(STORE_ROWS))
        Row of the slot.
    r_data : In(STORE_BITS)
        The row, one clock later.
    o_read : Out(stream of SocketRead)
        Payload wanted from socket memory.
    i_data : In(stream of packet)
        One answer per read.
    w_en : Out(1)
        Write of the frame buffers.
    w_addr : Out(range(2 * payload_words))
        Word in the two buffers.
    w_data : Out(data_width)
        The word; unused bytes are zero.
    buffer : Out(1)
        Buffer of the payload fetched last, until `taken`.
    sum : Out(PAYLOAD_SUM_BITS)
        Sum of its halves, carries not folded, until `taken`.
    failed : Out(1)
        It is unusable, until `taken`.
    taken : In(1)
        The payload fetched last is the assembler's, or given up.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency 6 clocks from `wanted` to the read, mostly while the payload before waits to be taken; `fetched` 2 clocks
    after the last word. Throughput 1 word per clock. `i_data` is always taken once it was asked for.

    Drop
    ----
    `read_error`: the payload; `failed` tells the loader.

    Reset
    -----
    Idle.

    Source
    ------
    Patent §IV (buses 246, 248); RFC 1071.
    """

    COUNTERS = Counters({
        "read_error": "outputs dropped because socket memory answered with err or another length",
    })

    def __init__(self, params):
        self._params = params
        super().__init__({
            "wanted": In(1),
            "fetched": Out(1),
            "r_en": Out(1),
            "r_row": Out(range(STORE_ROWS)),
            "r_data": In(STORE_BITS),
            "o_read": Out(stream.Signature(SocketRead)),
            "i_data": In(packet_signature(params.data_width)),
            "w_en": Out(1),
            "w_addr": Out(range(2 * payload_words(params))),
            "w_data": Out(params.data_width),
            "buffer": Out(1),
            "sum": Out(PAYLOAD_SUM_BITS),
            "failed": Out(1),
            "taken": In(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        n = self._params.data_bytes
        left = Signal(14)           # payload bytes still to come
        wrong = Signal()            # an earlier word of the answer was too many
        full = Signal()             # a payload waits to be taken
        row = Signal(range(payload_words(self._params)))
        address = Signal(SocketAddress)
        word = self.i_data.payload
        got = Signal(range(n + 1))

        # words are added up in two steps, so that no clock adds more than the halves of one word
        masked = Signal(self._params.data_width)
        halves = Signal(range(0xFFFF * (n // 2) + 1))
        m.d.comb += [
            got.eq(Mux(word.last, n - word.empty, n)),
            self.o_read.payload.address.eq(address),
            self.o_read.payload.length.eq(left),
            self.w_addr.eq(Cat(row, self.buffer)),
            self.w_data.eq(masked),
        ]
        for i in range(n):          # unused bytes are zero in buffer and sum
            m.d.comb += masked[8 * i:8 * i + 8].eq(Mux(word.last & (i < word.empty), 0, word.data[8 * i:8 * i + 8]))
        m.d.sync += halves.eq(0)
        m.d.sync += self.sum.eq(self.sum + halves)

        # places of the body's fields in the store
        body = OutputBody.as_shape()
        seq_row, seq = divmod(body["seq"].offset, BEAT)
        length_row, length = divmod(body["length"].offset, BEAT)
        ring_row, ring = divmod(body["ring"].offset, BEAT)

        with m.If(self.taken):
            m.d.sync += [full.eq(0), self.failed.eq(0), self.buffer.eq(self.buffer ^ ~self.failed)]
        with m.FSM():
            with m.State("SEQ"):
                m.d.comb += [self.r_en.eq(self.wanted), self.r_row.eq(seq_row)]
                with m.If(self.wanted):
                    m.next = "LENGTH"
            with m.State("LENGTH"):
                m.d.comb += [self.r_en.eq(1), self.r_row.eq(length_row)]
                m.d.sync += address.offset.eq(self.r_data[seq:seq + 32])
                m.next = "RING"
            with m.State("RING"):
                m.d.comb += [self.r_en.eq(1), self.r_row.eq(ring_row)]
                m.d.sync += left.eq(self.r_data[length:length + len(left)])     # the receiver has checked it
                m.next = "KIND"
            with m.State("KIND"):
                m.d.sync += address.ring.eq(self.r_data[ring:ring + 32])
                m.next = "READ"
                with m.If(left == 0):
                    m.d.comb += self.fetched.eq(1)
                    m.next = "SEQ"
            with m.State("READ"):
                m.d.comb += self.o_read.valid.eq(~full)
                m.d.sync += [wrong.eq(0), row.eq(0)]
                with m.If(~full):
                    m.d.sync += self.sum.eq(0)
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
                        m.d.sync += self.failed.eq(word.err | wrong | (left != got))
                        m.next = "SUM"
            with m.State("SUM"):    # the last halves are added in this clock
                m.d.comb += [self.fetched.eq(1), self.count.read_error.eq(self.failed)]
                m.d.sync += full.eq(1)
                m.next = "SEQ"
        return m
