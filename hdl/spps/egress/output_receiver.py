"""First stage of the output processor: takes, checks and sums OUTPUT messages.

Source: patent §IV; RFC 1071 (sum), RFC 9293 3.1 (pseudo header).
"""
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.message import OUTPUT_BEATS, MessageHeader, MessageKind, OutputFlag, beat_signature
from .frame import ARP, ETHERNET, IPV4, OPTIONS, TCP, OutputRequest, option_index, options_bytes

__all__ = ["OutputReceiver"]

_TABLE = range(1 << len(OPTIONS))


def _constant_sum(index):
    """Halves that depend on the options present only: their kinds and lengths, the protocol and the TCP header's length."""
    halves = [half for bit, (_, _, constants) in enumerate(OPTIONS) if index >> bit & 1 for half in constants]
    return sum(halves) + 6 + TCP + options_bytes(index)


class OutputReceiver(wiring.Component):
    """Collects the beats of one OUTPUT message and sums its header halves while they pass.

    Parameters: params.
    Members: i_cmd: message OUTPUT; o: the request, held until taken.
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
            "o": Out(stream.Signature(OutputRequest)),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        request = Signal(OutputRequest)
        body = request.body
        beat = self.i_cmd.payload
        header = Signal(MessageHeader)
        index = Signal(range(OUTPUT_BEATS))
        bad_kind = Signal()
        present = Signal(len(OPTIONS))
        m.d.comb += [
            header.eq(beat.data),
            present.eq(option_index(header.argument[:16])),
            self.o.payload.eq(request),
        ]

        def count(name):
            return self.count[self.COUNTERS.index(name)].eq(1)

        # a beat holds the words 2 * index and 2 * index + 1 of the body; here its four halves are chosen that are summed
        flag = {f: request.options[i] for i, (f, _, _) in enumerate(OPTIONS)}
        half = [beat.data[16 * i:16 * i + 16] for i in range(4)]
        previous = Signal(64)       # beat before this one
        data_offset = Signal(4)
        m.d.comb += [
            previous.eq(request.body.as_value()[-64:]),
            data_offset.eq(Array(TCP // 4 + options_bytes(i) // 4 for i in _TABLE)[request.options]),
        ]
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
                m.d.comb += summed[0].eq(Mux(flag[OutputFlag.WSCALE], previous[24:32], 0))
            with m.Case(6):
                m.d.comb += [s.eq(Mux(flag[OutputFlag.TIMESTAMP], h, 0)) for s, h in zip(summed, half)]
            with m.Case(7):
                m.d.comb += [s.eq(Mux(flag[OutputFlag.SACK], h, 0)) for s, h in zip(summed, half)]
        total = Signal(18)
        m.d.comb += total.eq(sum(summed))

        with m.FSM():
            with m.State("HEAD"):
                m.d.comb += self.i_cmd.ready.eq(1)
                m.d.sync += [
                    index.eq(0),
                    bad_kind.eq(header.kind != MessageKind.OUTPUT),
                    request.arp.eq((header.argument & OutputFlag.ARP.value).any()),
                    request.options.eq(present),
                    request.header_bytes.eq(ETHERNET + IPV4 + Array(TCP + options_bytes(i) for i in _TABLE)[present]),
                    request.tcp_sum.eq(Array(_constant_sum(i) for i in _TABLE)[present]),
                ]
                with m.If(self.i_cmd.valid):
                    with m.If(~beat.last):
                        m.next = "BODY"
                    with m.Elif(header.kind != MessageKind.OUTPUT):
                        m.d.comb += count("bad_kind")
                    with m.Else():
                        m.d.comb += count("malformed")
            with m.State("BODY"):
                m.d.comb += self.i_cmd.ready.eq(1)
                with m.If(self.i_cmd.valid):
                    # eight beats shift through, so that the first ends in the least significant bits
                    m.d.sync += body.eq(Cat(body.as_value()[64:], beat.data))
                    m.d.sync += [index.eq(index + 1), request.tcp_sum.eq(request.tcp_sum + total)]
                    with m.If(index == 1):
                        m.d.sync += request.address_sum.eq(total)
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
                m.d.sync += request.frame_bytes.eq(request.header_bytes + body.length)
                with m.If(request.arp):
                    m.d.sync += [request.header_bytes.eq(ETHERNET + ARP), request.frame_bytes.eq(ETHERNET + ARP)]
                m.next = "LIMIT"
            with m.State("LIMIT"):
                m.next = "OFFER"
                with m.If(body.iface >= self._params.ports):
                    m.d.comb += count("bad_port")
                    m.next = "HEAD"
                with m.Elif(request.frame_bytes > self._params.max_frame):
                    m.d.comb += count("too_long")
                    m.next = "HEAD"
            with m.State("OFFER"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "HEAD"
        return m
