"""First stage of the output processor: takes, checks and sums OUTPUT messages."""
from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.headers import ARP_BYTES, ETHERNET_BYTES, IPV4_BYTES, TCP_BYTES, IpProtocol
from ..layouts.message import BEAT, MessageHeader, beat_signature
from ..layouts.output import OUTPUT_BEATS, OUTPUT_LIMIT, SACK_BLOCKS, OutputFlag
from ..lib.counters import Counters
from .frame import (
    BLOCK_BYTES,
    OPTION_LIMIT,
    OPTIONS,
    STORE_BITS,
    STORE_ROWS,
    SUMMARY_ROW,
    OutputRequest,
    OutputSummary,
    option_index,
    options_bytes,
)

__all__ = ["OutputReceiver"]

_TABLE = range(1 << len(OPTIONS))


def _constant_sum(index):
    """Sum of the halves that depend on the options only: kinds and lengths, the protocol, the TCP header's length."""
    halves = [half for bit, (_, _, constants) in enumerate(OPTIONS) if index >> bit & 1 for half in constants]
    return sum(halves) + IpProtocol.TCP.value + TCP_BYTES + options_bytes(index)


class OutputReceiver(wiring.Component):
    """Writes the body of one OUTPUT message into a slot of the store and sums its header halves while they pass.

    Only OUTPUT messages come, because the bus router judges kinds and SYNC ends in the failover unit. So the kind is
    not checked here; the length is.

    Parameters
    ----------
    params : SppsParams
        ports, max_frame.

    Members
    -------
    i_cmd : In(stream of beat)
        OUTPUT messages.
    w_en : Out(1)
        Write of the slot.
    w_row : Out(range(STORE_ROWS))
        Row of the slot: beats of the body, the summary last.
    w_data : Out(STORE_BITS)
        The row.
    o : Out(stream of OutputRequest)
        The request; the slot is full when it is taken.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency 2 clocks after the last beat. Throughput 1 message in the beats of its body and 4 clocks. One request is
    held, and no beat is taken meanwhile.

    Drop
    ----
    `malformed`, `bad_port`, `too_long`: whole messages.

    Reset
    -----
    Idle.

    Source
    ------
    Patent §IV; RFC 1071 (sum), RFC 9293 §3.1 (pseudo header).
    """

    COUNTERS = Counters({
        "malformed": f"OUTPUT messages of other than {OUTPUT_BEATS} beats, with SACK up to {OUTPUT_LIMIT}, behind the "
                     f"header; of other than their header says; with options of more than {OPTION_LIMIT} bytes",
        "bad_port": "OUTPUT messages whose iface is not a port",
        "too_long": "OUTPUT messages whose frame would be longer than max_frame",
    })

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i_cmd": In(beat_signature()),
            "w_en": Out(1),
            "w_row": Out(range(STORE_ROWS)),
            "w_data": Out(STORE_BITS),
            "o": Out(stream.Signature(OutputRequest)),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        self._summary = Signal(OutputSummary)
        self._header_bytes, self._frame_bytes = Signal(7), Signal(17)
        self._options = Signal(len(OPTIONS))
        self._iface, self._wscale, self._length = Signal(8), Signal(8), Signal(16)
        self._index = Signal(range(OUTPUT_LIMIT))       # of the beat of the body
        self._more = Signal(range(SACK_BLOCKS))         # SACK blocks behind the first
        m.d.comb += [
            self.w_row.eq(self._index), self.w_data.eq(self.i_cmd.payload.data),
            self._summary.options.eq(self._options),
            self._summary.more_blocks.eq(self._more),
            self._summary.header_bytes.eq(self._header_bytes),
            # offered only within max_frame
            self._summary.frame_bytes.eq(self._frame_bytes[:len(self._summary.frame_bytes)]),
        ]
        total = self._beat_sum(m)
        with m.FSM():
            self._take(m, total)
            self._check(m)
        return m

    def _beat_sum(self, m):
        """Sum of the halves of this beat that belong to the TCP header or the pseudo header."""
        options, data = self._options, self.i_cmd.payload.data
        flag = {flag: options[i] for i, (flag, _, _) in enumerate(OPTIONS)}
        half = [data[i:i + 16] for i in range(0, BEAT, 16)]
        data_offset = Signal(4)
        m.d.comb += data_offset.eq(Array((TCP_BYTES + options_bytes(i)) // 4 for i in _TABLE)[options]
                                   + self._more * (BLOCK_BYTES // 4))
        summed = [Signal(16, name=f"summed_{i}") for i in range(4)]
        # a beat holds the words 2 * index and 2 * index + 1 of the body
        with m.Switch(self._index):
            with m.Case(0):         # what more blocks add to the length of the option and to that of the TCP header
                m.d.comb += summed[0].eq(self._more * (2 * BLOCK_BYTES))
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
                m.d.comb += summed[0].eq(Mux(flag[OutputFlag.WSCALE], self._wscale, 0))
            with m.Case(6):
                m.d.comb += [s.eq(Mux(flag[OutputFlag.TIMESTAMP], h, 0)) for s, h in zip(summed, half)]
            with m.Default():       # the last of the body, and what follows
                m.d.comb += [s.eq(Mux(flag[OutputFlag.SACK], h, 0)) for s, h in zip(summed, half)]
        total = Signal(18)
        m.d.comb += total.eq(sum(summed))
        return total

    def _take(self, m, total):
        """Take a message, sum it and store its body."""
        beat, index, summary = self.i_cmd.payload, self._index, self._summary
        header = MessageHeader(beat.data)
        half = [beat.data[i:i + 16] for i in range(0, BEAT, 16)]
        arp, present = Signal(), Signal(len(OPTIONS))
        addresses, ports = Signal(64), Signal(32)
        more, last_index, mistaken = self._more, Signal.like(index), Signal()
        address_sum, tcp_sum = Signal.like(summary.address_sum), Signal.like(summary.tcp_sum)
        m.d.comb += [
            present.eq(option_index(header.argument[:16])),
            summary.arp.eq(arp), summary.address_sum.eq(address_sum), summary.tcp_sum.eq(tcp_sum),
            self.o.payload.arp.eq(arp),
            self.o.payload.identity.eq(Cat(self._iface[:4], addresses, ports)),
            last_index.eq(more + (OUTPUT_BEATS - 1)),
        ]
        with m.State("HEAD"):
            m.d.comb += self.i_cmd.ready.eq(1)
            m.d.sync += [
                index.eq(0),
                more.eq(header.length - OUTPUT_BEATS),
                mistaken.eq((header.length < OUTPUT_BEATS) | (header.length > OUTPUT_LIMIT)
                            | ((header.length != OUTPUT_BEATS) & ~(header.argument & OutputFlag.SACK.value).any())),
                arp.eq((header.argument & OutputFlag.ARP.value).any()),
                self._options.eq(present),
                self._header_bytes.eq(
                    ETHERNET_BYTES + IPV4_BYTES + Array(TCP_BYTES + options_bytes(i) for i in _TABLE)[present]),
                tcp_sum.eq(Array(_constant_sum(i) for i in _TABLE)[present]),
            ]
            with m.If(self.i_cmd.valid):
                m.d.comb += self.count.malformed.eq(beat.last)
                with m.If(~beat.last):
                    m.next = "BODY"
        with m.State("BODY"):
            m.d.comb += [self.i_cmd.ready.eq(1), self.w_en.eq(self.i_cmd.valid)]
            with m.If(self.i_cmd.valid):
                m.d.sync += [index.eq(index + 1), tcp_sum.eq(tcp_sum + total), self._wscale.eq(half[1][8:])]
                with m.Switch(index):
                    with m.Case(0):
                        m.d.sync += [self._iface.eq(half[1][:8]),
                                     self._header_bytes.eq(self._header_bytes + more * BLOCK_BYTES)]
                    with m.Case(1):
                        m.d.sync += [addresses.eq(beat.data), address_sum.eq(total)]
                    with m.Case(2):
                        m.d.sync += ports.eq(beat.data[:32])
                    with m.Case(4):
                        m.d.sync += self._length.eq(half[2])
                with m.If(beat.last):
                    m.next = "CHECK"
                    with m.If((index != last_index) | mistaken):
                        m.d.comb += self.count.malformed.eq(1)
                        m.next = "HEAD"
                with m.Elif(index == last_index):
                    m.next = "SWALLOW"
        with m.State("SWALLOW"):
            m.d.comb += self.i_cmd.ready.eq(1)
            with m.If(self.i_cmd.valid & beat.last):
                m.d.comb += self.count.malformed.eq(1)
                m.next = "HEAD"

    def _check(self, m):
        """Check port and length, offer the request."""
        arp, payload = self._summary.arp, Signal()
        m.d.comb += self.o.payload.payload.eq(payload)
        with m.State("CHECK"):
            m.d.sync += [
                self._frame_bytes.eq(self._header_bytes + self._length), payload.eq(~arp & self._length.any()),
            ]
            with m.If(arp):
                m.d.sync += [
                    self._header_bytes.eq(ETHERNET_BYTES + ARP_BYTES), self._frame_bytes.eq(ETHERNET_BYTES + ARP_BYTES),
                ]
            m.next = "LIMIT"
        with m.State("LIMIT"):
            m.next = "OFFER"
            with m.If(self._header_bytes > ETHERNET_BYTES + IPV4_BYTES + TCP_BYTES + OPTION_LIMIT):
                m.d.comb += self.count.malformed.eq(1)
                m.next = "HEAD"
            with m.Elif(self._iface >= self._params.ports):
                m.d.comb += self.count.bad_port.eq(1)
                m.next = "HEAD"
            with m.Elif(self._frame_bytes > self._params.max_frame):
                m.d.comb += self.count.too_long.eq(1)
                m.next = "HEAD"
        with m.State("OFFER"):
            m.d.comb += [
                self.o.valid.eq(1), self.w_en.eq(1), self.w_row.eq(SUMMARY_ROW), self.w_data.eq(self._summary),
            ]
            with m.If(self.o.ready):
                m.next = "HEAD"
