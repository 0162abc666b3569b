"""Verdict on a frame, and its event."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.echo import EchoRequest
from ..layouts.event import CheckFlag, Event, EventKind, OptionFlag
from ..layouts.headers import IPV4_BYTES, TCP_BYTES, EtherType, IpProtocol, TcpFlag
from ..layouts.scratchpad import ScratchPage
from ..lib.counters import Counters
from .checks import Facts, failures
from .frame_header import FrameHeader
from .option_parser import OptionParser
from .verdict import Verdict

__all__ = ["EventBuilder"]

_ECN_MARK = 3       # RFC 3168 §5: congestion experienced


class EventBuilder(wiring.Component):
    """Judge one frame, parse its options, and join it with the answer of the scratchpad.

    Members
    -------
    i_header : In(stream of FrameHeader)
        Headers of one frame after the other.
    i_page : In(stream of ScratchPage)
        The scratchpad's answer; one is taken for each header with `stored`.
    o_event : Out(stream of Event)
        Events of good frames.
    o_free : Out(stream of unsigned(16))
        References of payloads of bad frames.
    o_echo : Out(stream of EchoRequest, always ready)
        Good ICMP echo requests.
    judged : Out(1)
        A frame has its verdict; as many as headers are taken.
    mac : In(48)
        Own MAC address.
    vip : In(ArrayLayout(32, 2))
        Own IP address on each network; 0: none.
    tcp_flag_filter : In(1)
        Drop TCP segments without ACK, SYN and RST, and SYN with FIN or RST.
    count : Out(COUNTERS.layout)
        `frames` when a header is taken, one other when the frame has its verdict.

    Timing
    ------
    Latency 7 clocks for ARP and ICMP, 8 for TCP, one more with payload if the scratchpad answers at once, and up to one
    more per option byte unless the options are NOP NOP TIMESTAMP.
    Throughput one frame at a time. `i_header` waits for `o_event`, `o_free` and `i_page`.

    Drop
    ----
    Every frame whose verdict is not EVENT, counted by verdict.

    Reset
    -----
    Idle.

    Source
    ------
    Patent §II.A; RFC 791, RFC 792, RFC 826, RFC 1191, RFC 9293, RFC 1122 §3.2.1.3.
    """

    COUNTERS = Counters({
        "frames": "frames received, good or bad", **{verdict.counter: verdict.text for verdict in Verdict},
    })

    i_header: In(stream.Signature(FrameHeader))
    i_page: In(stream.Signature(ScratchPage))
    o_event: Out(stream.Signature(Event))
    o_free: Out(stream.Signature(unsigned(16)))
    o_echo: Out(stream.Signature(EchoRequest, always_ready=True))
    judged: Out(1)
    mac: In(48)
    vip: In(data.ArrayLayout(32, 2))
    tcp_flag_filter: In(1)
    count: Out(COUNTERS.layout)

    def elaborate(self, platform):
        m = Module()
        m.submodules.options = options = OptionParser()
        h = Signal(FrameHeader)
        ip, arp, tcp = h.network.ipv4, h.network.arp, h.tcp
        verdict, judged = Signal(Verdict), self.judged
        page, answered = Signal(ScratchPage), Signal()

        is_ip, is_arp, is_tcp, own, conflict = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            is_ip.eq(h.ethertype == EtherType.IPV4), is_arp.eq(h.ethertype == EtherType.ARP),
            is_tcp.eq(ip.protocol == IpProtocol.TCP),
        ]
        header_bytes, segment = Signal(6), Signal(16)
        offset_bytes, expected = Signal(6), Signal(16)
        addresses, pseudo, total, folded = Signal(18), Signal(20), Signal(32), Signal(17)
        m.d.comb += [header_bytes.eq(ip.header_words << 2), offset_bytes.eq(tcp.offset << 2)]
        m.d.sync += [       # free-running, valid one clock after the other from the clock after ACCEPT on
            segment.eq(ip.total_length - header_bytes), expected.eq(segment - offset_bytes),
            addresses.eq(ip.source[:16] + ip.source[16:] + ip.destination[:16] + ip.destination[16:]),
            pseudo.eq(Mux(is_tcp, addresses + IpProtocol.TCP + segment, 0)),   # ICMP has no pseudo header
            total.eq(h.segment_sum + pseudo), folded.eq(total[:16] + total[16:]),
        ]
        sender = Mux(is_arp, Cat(arp.sender_ip_lo, arp.sender_ip_hi), ip.source)
        ours = Cat((vip != 0) & (sender == vip) for vip in self.vip)
        m.d.sync += [own.eq((h.source_mac == self.mac) | ours.any()),
                     conflict.eq(Cat((h.port == n) & ours[n] for n in range(len(ours))).any())]
        m.d.comb += [
            options.words.eq(h.options), options.size.eq(offset_bytes - TCP_BYTES),
            options.syn.eq((tcp.flags & TcpFlag.SYN).any()),
        ]

        with m.FSM():
            with m.State("ACCEPT"):
                m.d.comb += self.i_header.ready.eq(1)
                with m.If(self.i_header.valid):
                    m.d.comb += self.count.frames.eq(1)
                    m.d.sync += [h.eq(self.i_header.payload), page.eq(0)]
                    m.next = "SEGMENT"
            for state, following in (("SEGMENT", "PSEUDO"), ("PSEUDO", "TOTAL"), ("TOTAL", "FOLD"), ("FOLD", "JUDGE")):
                with m.State(state):
                    m.next = following
            with m.State("JUDGE"):
                facts = Facts(h, self.mac, is_ip, is_arp, segment=segment, segment_sum=folded, own=own,
                              conflict=conflict,
                              tcp_flag_filter=self.tcp_flag_filter)
                for n, (name, failed) in enumerate(failures(facts)):
                    with (m.If(failed) if n == 0 else m.Elif(failed)):
                        m.d.sync += verdict.eq(name)
                with m.Else():
                    m.d.sync += verdict.eq(Verdict.EVENT)
                    m.d.comb += options.start.eq(~is_arp & is_tcp)
                m.next = "JOIN"
            with m.State("JOIN"):
                with m.If(~options.done):
                    pass
                with m.Elif(h.stored & ~answered):
                    m.d.comb += self.i_page.ready.eq(1)
                    with m.If(self.i_page.valid):
                        m.d.sync += [page.eq(self.i_page.payload), answered.eq(1)]
                with m.Else():
                    m.d.sync += answered.eq(0)
                    with m.If((verdict == Verdict.EVENT) & ~is_arp & is_tcp):
                        with m.If(h.stored & ~page.ok):
                            m.d.sync += verdict.eq(Verdict.SCRATCHPAD_FULL)
                        with m.Elif(page.length != expected):
                            m.d.sync += verdict.eq(Verdict.PAYLOAD_LENGTH)
                    m.next = "FINISH"
            with m.State("FINISH"):
                with m.If(verdict == Verdict.EVENT):
                    m.d.comb += self.o_event.valid.eq(1)
                    with m.If(self.o_event.ready):
                        m.d.comb += judged.eq(1)
                        m.next = "ACCEPT"
                with m.Else():
                    m.d.comb += self.o_free.valid.eq(page.ok)
                    with m.If(~page.ok | self.o_free.ready):
                        m.d.comb += judged.eq(1)
                        m.next = "ACCEPT"
        m.d.comb += self.o_free.payload.eq(page.ref)
        m.d.comb += [self.count[value.counter].eq(judged & (verdict == value)) for value in Verdict]
        m.d.comb += [
            self.o_echo.valid.eq(judged & (verdict == Verdict.ICMP_ECHO)), self.o_echo.p.mac.eq(h.source_mac),
            self.o_echo.p.remote_ip.eq(ip.source), self.o_echo.p.local_ip.eq(ip.destination),
            self.o_echo.p.iface.eq(h.port), self.o_echo.p.length.eq(segment), self.o_echo.p.address_sum.eq(addresses),
        ]
        self._event(m, h, is_arp, is_tcp, page, options.o)
        return m

    def _event(self, m, h, is_arp, is_tcp, page, options):
        """Fill o_event.payload from registers that do not change while it is offered."""
        ip, arp, tcp, icmp = h.network.ipv4, h.network.arp, h.tcp, h.icmp
        e = self.o_event.p
        m.d.comb += e.iface.eq(h.port)
        with m.If(~is_arp):
            m.d.comb += [
                e.protocol.eq(IpProtocol.TCP),      # also that of a quoted segment
                e.src_mac_hi.eq(h.source_mac[32:]), e.src_mac_lo.eq(h.source_mac[:32]),
            ]
        with m.If(is_arp):
            m.d.comb += [
                e.kind.eq(EventKind.ARP), e.subtype.eq(arp.operation[:8]),
                e.src_ip.eq(Cat(arp.sender_ip_lo, arp.sender_ip_hi)), e.dst_ip.eq(arp.target_ip),
                e.src_mac_hi.eq(arp.sender_mac_hi[16:]),
                e.src_mac_lo.eq(Cat(arp.sender_mac_lo, arp.sender_mac_hi[:16])),
            ]
        with m.Elif(~is_tcp):           # the flow of the quoted segment, as its destination names it
            quoted = icmp.quoted
            m.d.comb += [
                e.kind.eq(EventKind.ICMP), e.subtype.eq(icmp.code), e.mss.eq(icmp.next_mtu),
                e.window.eq(quoted.total_length),
                e.src_ip.eq(quoted.destination), e.dst_ip.eq(quoted.source),
                e.dst_port.eq(quoted.rest[16:32]), e.src_port.eq(quoted.rest[:16]), e.seq.eq(quoted.rest[32:]),
            ]
        with m.Else():
            m.d.comb += [
                e.kind.eq(EventKind.TCP),
                e.checks.eq(Mux(ip.header_words > IPV4_BYTES // 4, CheckFlag.IP_OPTIONS, 0)
                            | Mux(ip.service[:2] == _ECN_MARK, CheckFlag.ECN, 0)),
                e.src_ip.eq(ip.source), e.dst_ip.eq(ip.destination),
                e.src_port.eq(tcp.source_port), e.dst_port.eq(tcp.destination_port),
                e.seq.eq(tcp.sequence), e.ack.eq(tcp.acknowledgement), e.window.eq(tcp.window),
                e.tcp_flags.eq(tcp.flags),
                e.payload_len.eq(page.length), e.scratch_ref.eq(page.ref), e.filled.eq(page.length != 0),
                e.plain.eq(((tcp.flags & ~TcpFlag.PSH.value) == TcpFlag.ACK)
                           & ((options.options & ~OptionFlag.TIMESTAMP.value) == 0)),
                e.stamped.eq((options.options & OptionFlag.TIMESTAMP.value) != 0),
                *(getattr(e, name).eq(getattr(options, name))
                  for name in ("mss", "wscale", "options", "ts_val", "ts_ecr", "sack_left", "sack_right")),
            ]
