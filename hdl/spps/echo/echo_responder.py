"""From an ICMP echo request to the frame of its reply."""
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2, exact_log2

from ..layouts.echo import EchoRequest, message_word
from ..layouts.headers import ETHERNET_BYTES, IPV4_BYTES, EtherType, IcmpType, IpProtocol
from ..layouts.packet import packet_signature
from ..lib.counters import Counters

__all__ = ["LIMIT_BITS", "EchoResponder"]

LIMIT_BITS = 8
_MIN_FRAME = 60                                     # Ethernet's shortest frame, without FCS
_HEADER_BYTES = ETHERNET_BYTES + IPV4_BYTES         # a multiple of every word, and two more bytes
_WHOLE_BYTES = _HEADER_BYTES - 2
_VERSION, _DONT_FRAGMENT = 0x4500, 0x4000           # IPv4 with a header of five words; DF


class EchoResponder(wiring.Component):
    """Keep the message that came last, and turn it into an echo reply when a request says so.

    The reply has the request's identifier, sequence number and data (RFC 1122 §3.2.2.6). Its ICMP checksum is that of
    the request with the change of the type added (RFC 1624), so the data is not looked at. There is one buffer: while
    a reply is on its way, further requests are dropped. TCP does not pass this block.

    Parameters
    ----------
    params : SppsParams
        data_width, max_frame.

    Members
    -------
    i_message : In(stream of message_word, always ready)
        What IP datagrams carry, from the splitter.
    i_request : In(stream of EchoRequest, always ready)
        The message that came last is an echo request; before the next one begins.
    o : Out(stream of packet)
        Frames of replies, padded to 60 bytes.
    mac : In(48)
        Own MAC address.
    ttl : In(8)
        Time to live of replies.
    limit : In(8), requests
        Most requests that are answered in a tick.
    now : In(32), ticks
        Tick counter.
    active : In(1)
        This unit is the active one.
    count : Out(COUNTERS.layout)
        Each request counts once.

    Timing
    ------
    Latency 6 clocks from request to the first word. Throughput one word per clock. While `o` waits, requests are
    dropped; inputs never wait.

    Drop
    ----
    standby, limited, busy : the request.

    Reset
    -----
    Empty.

    Source
    ------
    RFC 792, RFC 791, RFC 1122 §3.2.2.6, RFC 1624.
    """

    COUNTERS = Counters({
        "answered": "ICMP echo requests that were answered",
        "limited": "ICMP echo requests dropped because of `echo_limit`",
        "busy": "ICMP echo requests dropped because the reply before had not left",
        "standby": "ICMP echo requests dropped because the unit was standby",
    })

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i_message": In(stream.Signature(message_word(params.data_width), always_ready=True)),
            "i_request": In(stream.Signature(EchoRequest, always_ready=True)),
            "o": Out(packet_signature(params.data_width)),
            "mac": In(48), "ttl": In(8), "limit": In(LIMIT_BITS), "now": In(32), "active": In(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        size = self.params.data_bytes
        depth = 1 << ceil_log2(-(-(self.params.max_frame - _HEADER_BYTES) // size))
        # written while no reply is on its way, read while one is
        m.submodules.buffer = buffer = memory.Memory(shape=self.params.data_width, depth=depth, init=[],
                                                     attrs={"no_rw_check": 1})
        sending, request, check = Signal(), Signal(EchoRequest), Signal(16)
        whole = self._keep_message(m, buffer.write_port(), depth, sending, check)
        self._decide(m, sending, whole, request)
        self._send(m, buffer.read_port(), sending, request, check)
        return m

    def _keep_message(self, m, write, depth, sending, check):
        """Store the message that comes. Returns a signal: the buffer has all of it."""
        whole, index = Signal(), Signal(range(depth + 1))
        word = self.i_message.p
        m.d.comb += [
            write.en.eq(self.i_message.valid & ~sending), write.addr.eq(Mux(word.first, 0, index)),
            write.data.eq(word.data),
        ]
        with m.If(self.i_message.valid):
            with m.If(word.first):
                m.d.sync += [whole.eq(~sending), index.eq(1)]
                with m.If(~sending):
                    m.d.sync += check.eq(word.data[-32:-16])
            with m.Elif(index == depth):
                m.d.sync += whole.eq(0)
            with m.Else():
                m.d.sync += index.eq(index + 1)
        return whole

    def _decide(self, m, sending, whole, request):
        """Answer a request or count why not."""
        left, tick = Signal(LIMIT_BITS), Signal()       # requests that may still be answered in this tick
        m.d.sync += tick.eq(self.now[0])
        with m.If(tick != self.now[0]):
            m.d.sync += left.eq(self.limit)
        with m.If(self.i_request.valid):
            with m.If(~self.active):
                m.d.comb += self.count.standby.eq(1)
            with m.Elif(left == 0):
                m.d.comb += self.count.limited.eq(1)
            with m.Elif(sending | ~whole):
                m.d.comb += self.count.busy.eq(1)
            with m.Else():
                m.d.comb += self.count.answered.eq(1)
                m.d.sync += [sending.eq(1), request.eq(self.i_request.payload)]
                with m.If(tick == self.now[0]):
                    m.d.sync += left.eq(left - 1)

    def _send(self, m, read, sending, request, check):
        """The frame: headers, then the message, two bytes later in each word."""
        width, size, out = self.params.data_width, self.params.data_bytes, self.o
        first, total, folded, checksum = Signal(19), Signal(20), Signal(17), Signal(16)
        patched = Signal(17)                            # checksum of the message, the carry not yet added
        m.d.sync += [       # free-running, valid one clock after the other
            first.eq(request.address_sum + request.length),
            total.eq(first + (self.ttl << 8) + (_VERSION + IPV4_BYTES + _DONT_FRAGMENT + IpProtocol.ICMP)),
            folded.eq(total[:16] + total[16:]), checksum.eq(~(folded[:16] + folded[16])),
            patched.eq(check + (IcmpType.ECHO_REQUEST - IcmpType.ECHO_REPLY << 8)),
        ]
        header = Cat(*reversed([                        # in the order of the wire
            request.mac, self.mac, Const(EtherType.IPV4.value, 16), Const(_VERSION, 16),
            (request.length + IPV4_BYTES)[:16], Const(0, 16), Const(_DONT_FRAGMENT, 16),
            self.ttl, Const(IpProtocol.ICMP.value, 8), checksum, request.local_ip, request.remote_ip,
        ]))
        assert len(header) == 8 * _HEADER_BYTES
        words = _WHOLE_BYTES // size                    # of headers
        at, row, left = Signal(range(max(words, 2))), Signal(len(read.addr) + 1), Signal(16)
        carry, current, free, step = Signal(16), Signal(width), Signal(), Signal()
        place = Cat(Const(0, exact_log2(size)), row)    # bytes of the message before this row
        m.d.comb += [
            free.eq(~out.valid | out.ready), current.eq(Mux(place < request.length, read.data, 0)),
            read.addr.eq(row + step), read.en.eq(1),
        ]
        with m.If(row == 0):
            m.d.comb += current[-32:].eq(Cat(patched[:16] + patched[16], Const(0, 16))[:32])
        with m.If(out.ready):
            m.d.sync += out.valid.eq(0)
        with m.FSM():
            for state, following in (("WAIT", "ADD"), ("ADD", "FOLD"), ("FOLD", "CHECK"), ("CHECK", "HEADER")):
                with m.State(state):
                    m.d.sync += [at.eq(0), row.eq(0), carry.eq(request.remote_ip[:16])]
                    with m.If(sending):
                        m.next = following
            with m.State("HEADER"):
                m.d.sync += left.eq(Mux(request.length < _MIN_FRAME - _HEADER_BYTES, _MIN_FRAME - _WHOLE_BYTES,
                                        request.length + 2))
                with m.If(free):
                    m.d.sync += [out.valid.eq(1), out.p.last.eq(0), out.p.empty.eq(0), at.eq(at + 1)]
                    with m.Switch(at):
                        for n in range(words):
                            with m.Case(n):
                                top = len(header) - n * width
                                m.d.sync += out.p.data.eq(header[top - width:top])
                    with m.If(at == words - 1):
                        m.next = "MESSAGE"
            with m.State("MESSAGE"):
                with m.If(free):
                    m.d.comb += step.eq(1)
                    m.d.sync += [
                        out.valid.eq(1), out.p.data.eq(Cat(current[16:], carry)), carry.eq(current[:16]),
                        row.eq(row + 1), left.eq(left - size), out.p.last.eq(left <= size),
                        out.p.empty.eq(Mux(left <= size, size - left, 0)),
                    ]
                    with m.If(left <= size):
                        m.next = "LEAVE"
            with m.State("LEAVE"):      # the last word still has the port of `request`
                with m.If(out.ready):
                    m.d.sync += sending.eq(0)
                    m.next = "WAIT"
        m.d.comb += [out.p.port.eq(request.iface), out.p.err.eq(0)]
