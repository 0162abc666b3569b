"""First stage of the output processor: takes, checks and sums OUTPUT messages.

Source: patent §IV; RFC 1071 (sum), RFC 9293 3.1 (pseudo header).
"""
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.message import MessageHeader, MessageKind, beat_signature
from ..layouts.output import OUTPUT_BEATS, OutputFlag
from .frame import (
    ARP,
    ETHERNET,
    IPV4,
    OPTIONS,
    STORE_BITS,
    STORE_ROWS,
    SUMMARY_ROW,
    TCP,
    OutputRequest,
    OutputSummary,
    option_index,
    options_bytes,
)

__all__ = ["OutputReceiver"]

_TABLE = range(1 << len(OPTIONS))


def _constant_sum(index):
    """Halves that depend on the options present only: their kinds and lengths, the protocol and the TCP header's length."""
    halves = [half for bit, (_, _, constants) in enumerate(OPTIONS) if index >> bit & 1 for half in constants]
    return sum(halves) + 6 + TCP + options_bytes(index)


class OutputReceiver(wiring.Component):
    """Writes the body of one OUTPUT message into a slot of the store and sums its header halves while they pass.

    Parameters: params.
    Members: i_cmd: message OUTPUT; w_*: rows of the slot, the summary last; o: the request, held until taken: the slot is then full.
    Latency: 2 clocks after the last beat. Throughput: one message per OUTPUT_BEATS + 3 clocks.
    Backpressure: one request is held; no beat is taken meanwhile.
    Drop: `bad_kind` not an OUTPUT; `malformed` other than OUTPUT_BEATS beats; `bad_port` iface is not a port;
    `too_long` the frame would exceed max_frame. Reset: idle.
    """

    COUNTERS = ("bad_kind", "malformed", "bad_port", "too_long")

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i_cmd": In(beat_signature()),
            "w_en": Out(1),
            "w_row": Out(range(STORE_ROWS)),
            "w_data": Out(STORE_BITS),
            "o": Out(stream.Signature(OutputRequest)),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        beat = self.i_cmd.payload
        arp, payload = Signal(), Signal()
        options = Signal(len(OPTIONS))
        header_bytes, frame_bytes = Signal(7), Signal(17)
        address_sum, tcp_sum = Signal(18), Signal(21)
        iface, wscale, length = Signal(8), Signal(8), Signal(16)
        addresses, ports = Signal(64), Signal(32)
        header = Signal(MessageHeader)
        index = Signal(range(OUTPUT_BEATS))
        bad_kind = Signal()
        present = Signal(len(OPTIONS))
        m.d.comb += [
            header.eq(beat.data),
            present.eq(option_index(header.argument[:16])),
            self.o.payload.arp.eq(arp),
            self.o.payload.payload.eq(payload),
            self.o.payload.identity.eq(Cat(iface[:4], addresses, ports)),
            self.w_row.eq(index),
            self.w_data.eq(beat.data),
        ]

        def count(name):
            return self.count[self.COUNTERS.index(name)].eq(1)

        # a beat holds the words 2 * index and 2 * index + 1 of the body; here its four halves are chosen that are summed
        flag = {f: options[i] for i, (f, _, _) in enumerate(OPTIONS)}
        half = [beat.data[16 * i:16 * i + 16] for i in range(4)]
        data_offset = Signal(4)
        m.d.comb += data_offset.eq(Array(TCP // 4 + options_bytes(i) // 4 for i in _TABLE)[options])
        summed = [Signal(16, name=f"summed_{i}") for i in range(4)]
        with m.Switch(index):
            with m.Case(1, 3):      # addresses; seq and ack
                m.d.comb += [s.eq(h) for s, h in zip(summed, half)]
            with m.Case(2):         # ports
                m.d.comb += [s.eq(h) for s, h in zip(summed[:2], half)]
            with m.Case(4):         # window, flags with data offset, TCP payload length, MSS
                m.d.comb += [
                    summed[0].eq(half[0]),
                    summed[1].eq(Cat(half[1][:8], Const(0, 4), data_offset)),
                    summed[2].eq(half[2]),
                    summed[3].eq(Mux(flag[OutputFlag.MSS], half[3], 0)),
                ]
            with m.Case(5):         # the window scale of the beat before
                m.d.comb += summed[0].eq(Mux(flag[OutputFlag.WSCALE], wscale, 0))
            with m.Case(6):
                m.d.comb += [s.eq(Mux(flag[OutputFlag.TIMESTAMP], h, 0)) for s, h in zip(summed, half)]
            with m.Case(7):
                m.d.comb += [s.eq(Mux(flag[OutputFlag.SACK], h, 0)) for s, h in zip(summed, half)]
        total = Signal(18)
        m.d.comb += total.eq(sum(summed))

        summary = Signal(OutputSummary)
        m.d.comb += [
            summary.arp.eq(arp),
            summary.options.eq(options),
            summary.header_bytes.eq(header_bytes),
            summary.frame_bytes.eq(frame_bytes[:len(summary.frame_bytes)]),     # offered only within max_frame
            summary.address_sum.eq(address_sum),
            summary.tcp_sum.eq(tcp_sum),
        ]

        with m.FSM():
            with m.State("HEAD"):
                m.d.comb += self.i_cmd.ready.eq(1)
                m.d.sync += [
                    index.eq(0),
                    bad_kind.eq(header.kind != MessageKind.OUTPUT),
                    arp.eq((header.argument & OutputFlag.ARP.value).any()),
                    options.eq(present),
                    header_bytes.eq(ETHERNET + IPV4 + Array(TCP + options_bytes(i) for i in _TABLE)[present]),
                    tcp_sum.eq(Array(_constant_sum(i) for i in _TABLE)[present]),
                ]
                with m.If(self.i_cmd.valid):
                    with m.If(~beat.last):
                        m.next = "BODY"
                    with m.Elif(header.kind != MessageKind.OUTPUT):
                        m.d.comb += count("bad_kind")
                    with m.Else():
                        m.d.comb += count("malformed")
            with m.State("BODY"):
                m.d.comb += [self.i_cmd.ready.eq(1), self.w_en.eq(self.i_cmd.valid)]
                with m.If(self.i_cmd.valid):
                    m.d.sync += [index.eq(index + 1), tcp_sum.eq(tcp_sum + total), wscale.eq(half[1][8:])]
                    with m.Switch(index):
                        with m.Case(0):
                            m.d.sync += iface.eq(half[1][:8])
                        with m.Case(1):
                            m.d.sync += [addresses.eq(beat.data), address_sum.eq(total)]
                        with m.Case(2):
                            m.d.sync += ports.eq(beat.data[:32])
                        with m.Case(4):
                            m.d.sync += length.eq(half[2])
                    with m.If(beat.last):
                        m.next = "CHECK"
                        with m.If(bad_kind):
                            m.d.comb += count("bad_kind")
                            m.next = "HEAD"
                        with m.Elif(index != OUTPUT_BEATS - 1):
                            m.d.comb += count("malformed")
                            m.next = "HEAD"
                    with m.Elif(index == OUTPUT_BEATS - 1):
                        m.next = "SWALLOW"
            with m.State("SWALLOW"):
                m.d.comb += self.i_cmd.ready.eq(1)
                with m.If(self.i_cmd.valid & beat.last):
                    m.d.comb += self.count.eq(Mux(bad_kind, 1 << self.COUNTERS.index("bad_kind"),
                                                  1 << self.COUNTERS.index("malformed")))
                    m.next = "HEAD"
            with m.State("CHECK"):
                m.d.sync += [frame_bytes.eq(header_bytes + length), payload.eq(~arp & length.any())]
                with m.If(arp):
                    m.d.sync += [header_bytes.eq(ETHERNET + ARP), frame_bytes.eq(ETHERNET + ARP)]
                m.next = "LIMIT"
            with m.State("LIMIT"):
                m.next = "OFFER"
                with m.If(iface >= self._params.ports):
                    m.d.comb += count("bad_port")
                    m.next = "HEAD"
                with m.Elif(frame_bytes > self._params.max_frame):
                    m.d.comb += count("too_long")
                    m.next = "HEAD"
            with m.State("OFFER"):
                m.d.comb += [self.o.valid.eq(1), self.w_en.eq(1), self.w_row.eq(SUMMARY_ROW), self.w_data.eq(summary)]
                with m.If(self.o.ready):
                    m.next = "HEAD"
        return m
