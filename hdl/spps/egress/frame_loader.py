"""Fourth stage of the output processor: chooses the next output, loads it and completes its checksums.

Source: patent §IV; RFC 1071, RFC 791 3.1, RFC 6864 (identification).
"""
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.headers import ETHERNET_BYTES, IpProtocol
from ..layouts.message import BEAT
from ..layouts.neighbour import HopAnswer, HopQuery
from ..layouts.output import OUTPUT_BEATS, OUTPUT_LIMIT, OutputBody
from ..lib.counters import Counters
from .frame import (
    IPV4_DONT_FRAGMENT,
    IPV4_START,
    STORE_BITS,
    STORE_ROWS,
    SUMMARY_ROW,
    FrameRequest,
    OutputQueue,
    OutputSummary,
)
from .payload_fetcher import PAYLOAD_SUM_BITS

__all__ = ["FrameLoader"]


class FrameLoader(wiring.Component):
    """Takes the older of the two heads, or the control head while the ordered one waits for its payload.

    The MAC address of a segment is asked for while its body is loaded, and takes the place of the one in the body.

    An ordered output is loaded while its payload is still being fetched, and given up for a control output that comes
    meanwhile. From the clock in which its payload is stored, an ordered output waits for older outputs and for at most
    one younger one, which is being loaded.

    Members
    -------
    ordered : In(1)
        See OutputQueues.
    complete : In(1)
        See OutputQueues.
    pop_ordered : Out(1)
        The ordered head has left its slot.
    control : In(1)
        See OutputQueues.
    control_older : In(1)
        See OutputQueues.
    pop_control : Out(1)
        The control head has left its slot.
    r_en : Out(1)
        Read of the store.
    r_stall : In(1)
        The read is not executed in this clock.
    r_queue : Out(OutputQueue)
        Whose slot is read.
    r_row : Out(range(STORE_ROWS))
        Row of the slot.
    r_data : In(STORE_BITS)
        The row, one clock later.
    sum : In(PAYLOAD_SUM_BITS)
        See PayloadFetcher.
    buffer : In(1)
        See PayloadFetcher.
    failed : In(1)
        See PayloadFetcher.
    taken : Out(1)
        See PayloadFetcher.
    o_hop : Out(stream of HopQuery)
        Destination of a segment.
    i_hop : In(stream of HopAnswer)
        Its MAC address.
    o : Out(stream of FrameRequest)
        The frame.
    ttl : In(8)
        Time to live, sampled per frame.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency 12 clocks without payload; with payload 3 from `complete`. Throughput 1 frame per 12 clocks. The answer on
    `i_hop` may come 8 clocks after `o_hop` without costing a clock; waits for it and for `o`.

    Drop
    ----
    Ordered outputs that `failed`, and `unresolved`.

    Reset
    -----
    Idle, identification 0.

    Source
    ------
    Patent §IV; RFC 1071, RFC 791 §3.1, RFC 6864 (identification).
    """

    COUNTERS = Counters({
        "unresolved": "segments dropped because their next hop has no known MAC address and the message names none",
        "fallback": "segments sent to the MAC address of their message because their next hop has no known one",
    })

    def __init__(self):
        super().__init__({
            "ordered": In(1), "complete": In(1), "pop_ordered": Out(1),
            "control": In(1), "control_older": In(1), "pop_control": Out(1),
            "r_en": Out(1), "r_stall": In(1), "r_queue": Out(OutputQueue), "r_row": Out(range(STORE_ROWS)),
            "r_data": In(STORE_BITS),
            "sum": In(PAYLOAD_SUM_BITS), "buffer": In(1), "failed": In(1), "taken": Out(1),
            "o_hop": Out(stream.Signature(HopQuery)), "i_hop": In(stream.Signature(HopAnswer)),
            "o": Out(stream.Signature(FrameRequest)),
            "ttl": In(8),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        queue, overtook = Signal(OutputQueue), Signal()
        rows = Signal(OUTPUT_LIMIT * BEAT)          # body and further SACK blocks
        body, summary = OutputBody(rows[:OUTPUT_BEATS * BEAT]), Signal(OutputSummary)
        row, arrived_row, arrives = Signal(range(STORE_ROWS)), Signal(range(STORE_ROWS)), Signal()
        payload_bytes, payload = Signal(14), Signal()
        identification = Signal(16)
        ttl = Signal(8)
        ip = Signal(20)
        tcp = Signal(PAYLOAD_SUM_BITS + 1)
        granted = Signal()
        answered, found, lost = Signal(), Signal(), Signal()
        # places of the addresses that the neighbour table is asked for
        places = OutputBody.as_shape()
        iface_row, iface = divmod(places["iface"].offset, BEAT)
        ip_row, ip_place = divmod(places["remote_ip"].offset, BEAT)

        def fold(value):
            return value[:16] + value[16:]

        frame = self.o.payload
        m.d.comb += [
            payload_bytes.eq(Mux(summary.arp, 0, body.length[:14])),
            payload.eq(payload_bytes != 0),
            self.r_queue.eq(queue),
            self.r_row.eq(row),
            frame.body.eq(body),
            frame.blocks.eq(rows[OUTPUT_BEATS * BEAT:]),
            frame.more_blocks.eq(summary.more_blocks),
            answered.eq(summary.arp | self.i_hop.valid), found.eq(~summary.arp & self.i_hop.payload.found),
            # nowhere to send it to
            lost.eq(~summary.arp & ~found & (Cat(body.mac_lo, body.mac_hi) == 0)),
            frame.arp.eq(summary.arp),
            frame.options.eq(summary.options),
            frame.header_bytes.eq(summary.header_bytes),
            frame.frame_bytes.eq(summary.frame_bytes),
            frame.payload_bytes.eq(payload_bytes),
            frame.buffer.eq(self.buffer),
            frame.overtook.eq(overtook),
            frame.ttl.eq(ttl),
            frame.identification.eq(identification),
            frame.ip_checksum.eq(~fold(ip)),
            frame.tcp_checksum.eq(~fold(tcp)),
        ]

        mac = self.i_hop.payload.mac
        with m.If(found):
            m.d.comb += [frame.body.mac_lo.eq(mac[:32]), frame.body.mac_hi.eq(mac[32:])]

        # the table is asked as soon as the destination is there
        with m.If(self.o_hop.ready):
            m.d.sync += self.o_hop.valid.eq(0)
        with m.If(arrives & (arrived_row == iface_row)):
            m.d.sync += self.o_hop.payload.iface.eq(self.r_data[iface:iface + 8])
        with m.If(arrives & (arrived_row == ip_row)):
            m.d.sync += [
                self.o_hop.payload.ip.eq(self.r_data[ip_place:ip_place + 32]), self.o_hop.valid.eq(~summary.arp),
            ]

        # the sums are made while the body arrives, which comes behind the summary
        m.d.sync += [arrives.eq(granted), arrived_row.eq(row)]
        with m.If(arrives):
            with m.If(arrived_row == SUMMARY_ROW):
                m.d.sync += summary.eq(self.r_data[:len(summary.as_value())])
            with m.Else():
                with m.Switch(arrived_row):
                    for n in range(OUTPUT_LIMIT):
                        with m.Case(n):
                            m.d.sync += rows[n * BEAT:(n + 1) * BEAT].eq(self.r_data[:BEAT])
            with m.Switch(arrived_row):
                with m.Case(0):
                    protocol = Cat(Const(IpProtocol.TCP.value, 8), self.ttl)
                    m.d.sync += [
                        ip.eq(summary.address_sum + protocol + (IPV4_START + IPV4_DONT_FRAGMENT)),
                        ttl.eq(self.ttl), tcp.eq(summary.tcp_sum),
                    ]
                with m.Case(1):
                    m.d.sync += [ip.eq(ip + (summary.frame_bytes - ETHERNET_BYTES)[:14]), tcp.eq(fold(tcp))]
                with m.Case(2):
                    m.d.sync += ip.eq(ip + identification)
                with m.Case(3):
                    m.d.sync += ip.eq(fold(ip))

        with m.FSM():
            with m.State("PICK"):
                m.d.sync += [row.eq(SUMMARY_ROW), overtook.eq(0), queue.eq(OutputQueue.ORDERED)]
                with m.If(self.control & (self.control_older | ~self.complete)):
                    m.d.sync += [overtook.eq(~self.control_older), queue.eq(OutputQueue.CONTROL)]
                    m.next = "LOAD"
                with m.Elif(self.ordered):
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += [self.r_en.eq(1), granted.eq(~self.r_stall)]
                with m.If(granted):
                    m.d.sync += row.eq(row + 1)     # SUMMARY_ROW + 1 is row 0
                    with m.If(row == OUTPUT_BEATS - 1 + summary.more_blocks):
                        m.next = "LAST"
            with m.State("LAST"):
                m.next = "OFFER"
                with m.If(queue == OutputQueue.ORDERED):
                    m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(self.complete):
                    m.next = "OFFER"
                    with m.If(payload):
                        m.d.sync += tcp.eq(tcp + self.sum)
                        m.next = "FOLD"
                        with m.If(self.failed):
                            m.next = "FAIL"
                with m.Elif(self.control & answered):
                    m.d.comb += self.i_hop.ready.eq(1)
                    m.next = "PICK"
            with m.State("FAIL"):
                with m.If(answered):
                    m.d.comb += [self.pop_ordered.eq(1), self.taken.eq(1), self.i_hop.ready.eq(1)]
                    m.next = "PICK"
            with m.State("FOLD"):
                m.d.sync += tcp.eq(fold(tcp))
                m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += self.o.valid.eq(answered & ~lost)
                # one that is lost waits too: its buffer may be given back only when the frame before has left the other
                with m.If(answered & self.o.ready):
                    m.d.comb += [
                        self.pop_control.eq(queue == OutputQueue.CONTROL),
                        self.pop_ordered.eq(queue == OutputQueue.ORDERED),
                        self.taken.eq(payload), self.i_hop.ready.eq(1),
                        self.count.unresolved.eq(lost), self.count.fallback.eq(~summary.arp & ~found & ~lost),
                    ]
                    m.d.sync += identification.eq(identification + (~summary.arp & ~lost))
                    m.next = "PICK"
        return m
