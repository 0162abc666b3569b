"""Capture of headers, and payload cut out of frames."""
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.echo import message_word
from ..layouts.headers import ETHERNET_BYTES, IPV4_BYTES, TCP_BYTES, EtherType, IpProtocol
from ..layouts.packet import packet_layout, packet_signature
from ..lib.packet_slice import PacketSlice
from .checks import Facts, failures
from .frame_aligner import PAD_BYTES
from .frame_header import FrameHeader

__all__ = ["HeaderParser"]

_ETHERNET_WORDS = (PAD_BYTES + ETHERNET_BYTES) // 4     # 32-bit words


def _lane(word, index):
    """Return the 32-bit lane `index` of a word, lane 0 first on the wire."""
    top = len(word) - 32 * index
    return word[top - 32:top]


def _halves(word):
    """Return the 16-bit parts of a word."""
    return [word[n:n + 16] for n in range(0, len(word), 16)]


class HeaderParser(wiring.Component):
    """Capture Ethernet, IP, ARP and TCP headers of one frame at a time, sum both checksums, pass the TCP payload on.

    Two cuts align everything. The first leaves [IP header length, total length) of the datagram: the segment without
    Ethernet padding. The second leaves what follows the TCP header.

    Parameters
    ----------
    width : int
        Datapath in bits.

    Members
    -------
    i : In(stream of packet)
        Frames from FrameAligner: untagged, with PAD_BYTES in front.
    unknown_vlan : In(1)
        With `i`, from the word with the EtherType on: the frame's VLAN tag names no network.
    o_header : Out(stream of FrameHeader)
        One per frame, after the last word of the frame and of its payload.
    o_payload : Out(stream of packet)
        TCP payloads of frames that pass the early checks of `checks.CHECKS`.
    o_message : Out(stream of message_word, always ready)
        What each IP datagram carries, whatever becomes of its frame.
    judged : In(1)
        The frame of the header that was taken last is judged. After a frame that may be ICMP `i` waits for it.
    mac : In(48)
        Own MAC address.
    vip : In(ArrayLayout(32, 2))
        Own IP addresses by network; 0: none.

    Timing
    ------
    A header follows the last word by 3 to 9 clocks; as many clocks pass between two frames. Throughput one word per
    clock. `i` waits for `o_payload` and `o_header`, and after an ICMP message for `judged`.

    Drop
    ----
    Payload of frames that fail an early check, and empty payload.

    Reset
    -----
    Empty.

    Source
    ------
    Patent §II; RFC 791, RFC 826, RFC 9293.
    """

    def __init__(self, width):
        self.width = width
        super().__init__({
            "i": In(packet_signature(width)), "o_header": Out(stream.Signature(FrameHeader)),
            "o_payload": Out(packet_signature(width)), "unknown_vlan": In(1), "mac": In(48),
            "vip": In(data.ArrayLayout(32, 2)), "judged": In(1),
            "o_message": Out(stream.Signature(message_word(width), always_ready=True)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.segment_cut = segment_cut = PacketSlice(self.width, granule=4)
        m.submodules.payload_cut = payload_cut = PacketSlice(self.width, granule=4)
        header = Signal(FrameHeader)
        index, segment_index = Signal(5), Signal(4)     # words of the frame and of the segment, saturate
        m.d.comb += [self.o_header.payload.eq(header), self.o_header.p.length.eq(header.length - PAD_BYTES)]

        word_valid, word_free = self._capture_network(m, header, index, segment_cut)
        segment_busy = self._capture_segment(m, header, segment_index, segment_cut, payload_cut)
        self._cut_payload(m, header, payload_cut)

        with m.FSM():
            with m.State("RECEIVE"):
                m.d.comb += self.i.ready.eq(word_free)
                with m.If(self.i.valid & self.i.ready & self.i.p.last):
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.comb += self.o_header.valid.eq(~(word_valid | segment_cut.busy | segment_busy | payload_cut.busy))
                with m.If(self.o_header.valid & self.o_header.ready):
                    m.d.sync += [
                        index.eq(0), segment_index.eq(0), header.length.eq(0), header.stored.eq(0), header.ip_sum.eq(0),
                        header.segment_sum.eq(0),
                    ]
                    m.next = "RECEIVE"
                    with m.If(header.network.ipv4.protocol == IpProtocol.ICMP):
                        m.next = "WAIT"
            with m.State("WAIT"):   # the words of an echo request stay the last ones of `o_message` until it is judged
                with m.If(self.judged):
                    m.next = "RECEIVE"
        return m

    def _capture_network(self, m, header, index, segment_cut):
        """Frame to the words behind the Ethernet header. Returns signals: a word is held; its register is free."""
        size, lanes = self.width // 8, self.width // 32
        ethernet_words = _ETHERNET_WORDS // lanes
        ip = header.network.ipv4
        ethernet = Signal(32 * _ETHERNET_WORDS)         # padding, addresses, type
        word, word_valid, network, word_index = Signal(packet_layout(self.width)), Signal(), Signal(), Signal(5)
        word_free, is_ip = Signal(), Signal()
        m.d.comb += [
            Cat(header.ethertype, header.source_mac, header.destination_mac).eq(ethernet[:8 * ETHERNET_BYTES]),
            is_ip.eq(header.ethertype == EtherType.IPV4),
            segment_cut.i.payload.eq(word),
            segment_cut.i.valid.eq(word_valid & network & is_ip),
            word_free.eq(~word_valid | ~(network & is_ip) | segment_cut.i.ready),
        ]
        m.d.sync += header.ours.eq(      # an address of 0 is no host's, so that another check catches it
            Cat((header.port == port) & (ip.destination == vip) for port, vip in enumerate(self.vip)).any())
        with m.If(word_free):
            m.d.sync += word_valid.eq(0)
        with m.If(word_valid & network & word_free):
            m.d.sync += header.ip_sum.eq(header.ip_sum + sum(
                Mux((word_index * lanes + n) < ip.header_words, half, 0)
                for n in range(lanes) for half in _halves(_lane(word.data, n))))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                word.eq(self.i.payload), word_valid.eq(1),
                network.eq(index >= ethernet_words), word_index.eq(index - ethernet_words),
                header.length.eq(header.length + size - Mux(self.i.p.last, self.i.p.empty, 0)),
                header.port.eq(self.i.p.port), header.unknown_vlan.eq(self.unknown_vlan),
                header.err.eq(self.i.p.last & self.i.p.err),
            ]
            with m.If(index != 31):
                m.d.sync += index.eq(index + 1)
            targets = [_lane(ethernet, n) for n in range(_ETHERNET_WORDS)] + list(header.network.words)
            for n, target in enumerate(targets):
                with m.If(index == n // lanes):
                    m.d.sync += target.eq(_lane(self.i.p.data, n % lanes))
        return word_valid, word_free

    def _capture_segment(self, m, header, segment_index, segment_cut, payload_cut):
        """Words behind the Ethernet header to the TCP segment. Returns a signal: a word of it is on its way."""
        lanes, ip = self.width // 32, header.network.ipv4
        m.d.comb += [
            segment_cut.start.eq(Mux(ip.header_words < IPV4_BYTES // 4, IPV4_BYTES, ip.header_words << 2)),
            segment_cut.end.eq(ip.total_length),
        ]
        segment, segment_valid = Signal(packet_layout(self.width)), Signal()
        partial, partial_valid = Signal(20), Signal()
        m.d.comb += [
            payload_cut.i.payload.eq(segment), payload_cut.i.valid.eq(segment_valid),
            segment_cut.o.ready.eq(~segment_valid | payload_cut.i.ready),
        ]
        m.d.comb += [
            self.o_message.valid.eq(segment_cut.o.valid & segment_cut.o.ready),
            self.o_message.p.data.eq(segment_cut.o.p.data), self.o_message.p.first.eq(segment_index == 0),
        ]
        m.d.sync += partial_valid.eq(0)
        with m.If(payload_cut.i.ready):
            m.d.sync += segment_valid.eq(0)
        with m.If(segment_cut.o.valid & segment_cut.o.ready):
            m.d.sync += [segment.eq(segment_cut.o.payload), segment_valid.eq(1)]
            m.d.sync += [partial.eq(sum(_halves(segment_cut.o.p.data))), partial_valid.eq(1)]
            with m.If(segment_index != 15):
                m.d.sync += segment_index.eq(segment_index + 1)
            for n, target in enumerate(header.segment.words):
                with m.If(segment_index == n // lanes):
                    m.d.sync += target.eq(_lane(segment_cut.o.p.data, n % lanes))
        with m.If(partial_valid):
            m.d.sync += header.segment_sum.eq(header.segment_sum + partial)
        return segment_valid | partial_valid

    def _cut_payload(self, m, header, payload_cut):
        """Segment to payload, if the headers pass the early checks. Only IP frames come here."""
        ip, tcp = header.network.ipv4, header.tcp
        segment_length, passes = Signal(16), Signal()
        facts = Facts(header, self.mac, is_ip=Const(1), is_arp=Const(0))
        m.d.sync += [
            segment_length.eq(ip.total_length - (ip.header_words << 2)),
            passes.eq(facts.is_tcp & ~Cat(failed for _, failed in failures(facts, early=True)).any()),
        ]
        m.d.comb += [
            payload_cut.start.eq(Mux(tcp.offset < TCP_BYTES // 4, TCP_BYTES, tcp.offset << 2)),
            payload_cut.end.eq(Mux(passes, segment_length, 0)),
        ]
        wiring.connect(m, payload_cut.o, wiring.flipped(self.o_payload))
        with m.If(self.o_payload.valid & self.o_payload.ready & self.o_payload.p.last):
            m.d.sync += header.stored.eq(1)
