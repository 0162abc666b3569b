"""Verdict on a frame, and its event."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import CheckFlag, Event, EventKind, OptionFlag
from ..layouts.scratchpad import ScratchPage
from .frame_header import (
    ETHERTYPE_ARP,
    ETHERTYPE_IPV4,
    PROTOCOL_ICMP,
    PROTOCOL_TCP,
    PROTOCOL_UDP,
    FrameHeader,
)
from .option_parser import OptionParser

__all__ = ["EventBuilder", "Verdict"]

_GROUP = 40     # the bit of a MAC address that says broadcast or multicast
_PSH, _ACK = 0x08, 0x10


class Verdict(enum.Enum, shape=5):
    """What became of a frame: the first check that fails is counted, in the order of EventBuilder._checks."""
    EVENT = 0
    FRAME_ERROR = 1             # err from the interface: DIP-4, abort, oversize, overflow
    RUNT = 2                    # ends inside the headers that every frame of its ethertype has
    SOURCE_ADDRESS = 3          # group source MAC; source IP multicast, reserved, loopback or 0
    NOT_FOR_US = 4              # other unicast MAC, or broadcast or multicast that is no ARP
    UNKNOWN_ETHERTYPE = 5
    ARP_MALFORMED = 6           # not Ethernet/IPv4, or neither request nor reply
    IP_VERSION = 7
    IP_HEADER_LENGTH = 8        # IHL below 5, or beyond the total length
    IP_LENGTH = 9               # total length beyond the frame
    IP_CHECKSUM = 10
    DESTINATION_ADDRESS = 11    # multicast, reserved or broadcast IP
    IP_FRAGMENT = 12
    ICMP = 13
    UDP = 14
    UNKNOWN_PROTOCOL = 15
    TCP_OFFSET = 16             # data offset below 5 or beyond the segment
    TCP_CHECKSUM = 17
    LAND = 18                   # source address and port are the destination's
    PAYLOAD_LENGTH = 19         # the scratchpad's byte count is not the header's
    SCRATCHPAD_FULL = 20
    TCP_FLAGS = 21              # neither ACK, SYN nor RST (null, xmas), or SYN with FIN or RST
    TCP_PORT = 22               # port 0
    OWN_ADDRESS = 23            # sent in our name: source MAC, IP or ARP sender is ours


class EventBuilder(wiring.Component):
    """Judge one frame, parse its options, join it with the answer of the scratchpad.

    Source: patent §II.A; RFC 791, RFC 826, RFC 9293, RFC 1122 §3.2.1.3.
    Members: i_header; i_page, taken for each header that says `stored`; o_event; o_free; mac, vip: own addresses (vip 0: none);
    frames, pulse; verdict and judged, pulse: one per frame.
    Latency: 7 clocks, and one per option byte beyond the usual. Throughput: one frame at a time. Backpressure: i_header
    waits for o_event,
    o_free and i_page. Drop: all but Verdict.EVENT. Reset: idle.
    """

    i_header: In(stream.Signature(FrameHeader))
    i_page: In(stream.Signature(ScratchPage))
    o_event: Out(stream.Signature(Event))
    o_free: Out(stream.Signature(unsigned(16)))
    mac: In(48)
    vip: In(data.ArrayLayout(32, 2))
    frames: Out(1)
    judged: Out(1)
    verdict: Out(Verdict)

    def elaborate(self, platform):
        m = Module()
        m.submodules.options = options = OptionParser()
        h = Signal(FrameHeader)
        ip, arp, tcp = h.network.ipv4, h.network.arp, h.tcp
        verdict = Signal(Verdict)
        page, answered = Signal(ScratchPage), Signal()

        header_bytes, segment = Signal(6), Signal(16)
        offset_bytes, expected = Signal(6), Signal(16)
        pseudo, total, folded = Signal(20), Signal(32), Signal(17)
        m.d.comb += [header_bytes.eq(ip.header_words << 2), offset_bytes.eq(tcp.offset << 2), self.verdict.eq(verdict)]
        m.d.sync += [       # free-running, valid one clock after the other from the clock after ACCEPT on
            segment.eq(ip.total_length - header_bytes), expected.eq(segment - offset_bytes),
            pseudo.eq(ip.source[:16] + ip.source[16:] + ip.destination[:16] + ip.destination[16:] + PROTOCOL_TCP + segment),
            total.eq(h.tcp_sum + pseudo), folded.eq(total[:16] + total[16:]),
        ]
        own = Signal()
        sender = Mux(h.ethertype == ETHERTYPE_ARP, Cat(arp.sender_ip_lo, arp.sender_ip_hi), ip.source)
        m.d.sync += own.eq((h.source_mac == self.mac) | Cat((vip != 0) & (sender == vip) for vip in self.vip).any())
        is_arp = Signal()
        m.d.comb += is_arp.eq(h.ethertype == ETHERTYPE_ARP)
        m.d.comb += [
            options.words.eq(h.options), options.size.eq(offset_bytes - 20), options.syn.eq(tcp.flags[1]),
        ]

        with m.FSM():
            with m.State("ACCEPT"):
                m.d.comb += self.i_header.ready.eq(1)
                with m.If(self.i_header.valid):
                    m.d.comb += self.frames.eq(1)
                    m.d.sync += [h.eq(self.i_header.payload), page.eq(0)]
                    m.next = "SEGMENT"
            for state, following in (("SEGMENT", "PSEUDO"), ("PSEUDO", "TOTAL"), ("TOTAL", "FOLD"), ("FOLD", "JUDGE")):
                with m.State(state):
                    m.next = following
            with m.State("JUDGE"):
                # RFC 1071: the sum with the checksum in it is all ones
                for n, (name, failed) in enumerate(self._checks(h, is_arp, header_bytes, offset_bytes, segment, folded, own)):
                    with (m.If(failed) if n == 0 else m.Elif(failed)):
                        m.d.sync += verdict.eq(name)
                with m.Else():
                    m.d.sync += verdict.eq(Verdict.EVENT)
                    m.d.comb += options.start.eq(~is_arp)
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
                    with m.If((verdict == Verdict.EVENT) & ~is_arp):
                        with m.If(h.stored & ~page.ok):
                            m.d.sync += verdict.eq(Verdict.SCRATCHPAD_FULL)
                        with m.Elif(page.length != expected):
                            m.d.sync += verdict.eq(Verdict.PAYLOAD_LENGTH)
                    m.next = "FINISH"
            with m.State("FINISH"):
                with m.If(verdict == Verdict.EVENT):
                    m.d.comb += self.o_event.valid.eq(1)
                    with m.If(self.o_event.ready):
                        m.d.comb += self.judged.eq(1)
                        m.next = "ACCEPT"
                with m.Else():
                    m.d.comb += self.o_free.valid.eq(page.ok)
                    with m.If(~page.ok | self.o_free.ready):
                        m.d.comb += self.judged.eq(1)
                        m.next = "ACCEPT"
        m.d.comb += self.o_free.payload.eq(page.ref)
        self._event(m, h, is_arp, page, options.o)
        return m

    def _checks(self, h, is_arp, header_bytes, offset_bytes, segment, folded, own):
        """(verdict, condition that fails the frame), first match first."""
        ip, arp, tcp = h.network.ipv4, h.network.arp, h.tcp
        is_ip = h.ethertype == ETHERTYPE_IPV4
        fin, syn, rst, _, ack = tcp.flags[:5]
        group = h.destination_mac[_GROUP]

        def host(address):
            return (address[24:] < 224) & (address[24:] != 127) & (address[24:] != 0)

        def for_ip(condition):
            return is_ip & condition

        ip_folded = h.ip_sum[:16] + h.ip_sum[16:]
        return (
            (Verdict.FRAME_ERROR, h.err),
            (Verdict.RUNT, (h.length < 14) | is_ip & (h.length < 34) | is_arp & (h.length < 42)),
            (Verdict.SOURCE_ADDRESS, h.source_mac[_GROUP]),
            (Verdict.NOT_FOR_US, (h.destination_mac != self.mac) & ~(group & is_arp)),
            (Verdict.UNKNOWN_ETHERTYPE, ~is_ip & ~is_arp),
            (Verdict.ARP_MALFORMED, is_arp & ((arp.hardware_type != 1) | (arp.protocol_type != ETHERTYPE_IPV4)
                                              | (arp.hardware_size != 6) | (arp.protocol_size != 4)
                                              | (arp.operation == 0) | (arp.operation > 2) | arp.sender_mac_hi[_GROUP - 16])),
            (Verdict.IP_VERSION, for_ip(ip.version != 4)),
            (Verdict.IP_HEADER_LENGTH, for_ip((ip.header_words < 5) | (ip.total_length < header_bytes))),
            (Verdict.IP_LENGTH, for_ip(ip.total_length + 14 > h.length)),
            (Verdict.IP_CHECKSUM, for_ip(ip_folded != 0xFFFF)),
            (Verdict.SOURCE_ADDRESS, for_ip(~host(ip.source))),
            (Verdict.DESTINATION_ADDRESS, for_ip(~host(ip.destination))),
            (Verdict.IP_FRAGMENT, for_ip(ip.more_fragments | (ip.fragment_offset != 0))),
            (Verdict.ICMP, for_ip(ip.protocol == PROTOCOL_ICMP)),
            (Verdict.UDP, for_ip(ip.protocol == PROTOCOL_UDP)),
            (Verdict.UNKNOWN_PROTOCOL, for_ip(ip.protocol != PROTOCOL_TCP)),
            (Verdict.TCP_OFFSET, for_ip((segment < 20) | (tcp.offset < 5) | (offset_bytes > segment))),
            (Verdict.TCP_CHECKSUM, for_ip(folded[:16] + folded[16:] != 0xFFFF)),
            (Verdict.LAND, for_ip((ip.source == ip.destination) & (tcp.source_port == tcp.destination_port))),
            (Verdict.OWN_ADDRESS, own),
            (Verdict.TCP_PORT, for_ip((tcp.source_port == 0) | (tcp.destination_port == 0))),
            (Verdict.TCP_FLAGS, for_ip(~(ack | syn | rst) | syn & (fin | rst))),
        )

    def _event(self, m, h, is_arp, page, options):
        """Fill o_event.payload from registers that rest while it is offered."""
        ip, arp, tcp = h.network.ipv4, h.network.arp, h.tcp
        e = self.o_event.p
        m.d.comb += e.iface.eq(h.port)
        with m.If(is_arp):
            m.d.comb += [
                e.kind.eq(EventKind.ARP), e.subtype.eq(arp.operation[:8]),
                e.src_ip.eq(Cat(arp.sender_ip_lo, arp.sender_ip_hi)), e.dst_ip.eq(arp.target_ip),
                e.src_mac_hi.eq(arp.sender_mac_hi[16:]), e.src_mac_lo.eq(Cat(arp.sender_mac_lo, arp.sender_mac_hi[:16])),
            ]
        with m.Else():
            m.d.comb += [
                e.kind.eq(EventKind.TCP),
                e.checks.eq(Mux(ip.header_words > 5, CheckFlag.IP_OPTIONS, 0) | Mux(ip.service[:2] == 3, CheckFlag.ECN, 0)),
                e.src_ip.eq(ip.source), e.dst_ip.eq(ip.destination), e.src_port.eq(tcp.source_port), e.dst_port.eq(tcp.destination_port),
                e.seq.eq(tcp.sequence), e.ack.eq(tcp.acknowledgement), e.window.eq(tcp.window), e.tcp_flags.eq(tcp.flags),
                e.payload_len.eq(page.length), e.scratch_ref.eq(page.ref), e.filled.eq(page.length != 0),
                e.plain.eq(((tcp.flags & ~_PSH) == _ACK) & ((options.options & ~OptionFlag.TIMESTAMP.value) == 0)),
                e.stamped.eq((options.options & OptionFlag.TIMESTAMP.value) != 0),
                e.src_mac_hi.eq(h.source_mac[32:]), e.src_mac_lo.eq(h.source_mac[:32]),
                *(getattr(e, name).eq(getattr(options, name))
                  for name in ("mss", "wscale", "options", "ts_val", "ts_ecr", "sack_left", "sack_right")),
            ]
