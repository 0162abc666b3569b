"""Capture of headers, and payload cut out of frames."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_layout, packet_signature
from ..lib.packet_slice import PacketSlice
from .frame_header import ETHERTYPE_IPV4, PROTOCOL_TCP, FrameHeader

__all__ = ["HeaderParser"]


def _lane(word, index):
    """32-bit lane `index` of a word, lane 0 first on the wire."""
    top = len(word) - 32 * index
    return word[top - 32:top]


def _halves(word):
    return [word[n:n + 16] for n in range(0, len(word), 16)]


class HeaderParser(wiring.Component):
    """Capture Ethernet, IP, ARP and TCP headers of one frame at a time, sum both checksums, pass the TCP payload on.

    Source: RFC 791, RFC 826, RFC 9293; patent §II.
    Parameters: width.
    Members: i, frames with two bytes in front; o_header, one per frame, after the frame's last word and its payload;
    o_payload; mac.
    Latency: a header follows the last word by 3 to 9 clocks. Throughput: one word per clock; between two frames as many
    clocks as the latency says.
    Backpressure: i waits for o_payload and o_header. Drop: payload of frames whose headers are wrong is not passed on.
    Reset: empty.

    Two cuts make everything aligned: the first leaves [IP header length, total length) of the packet, the segment without
    Ethernet
    padding; the second leaves what follows the TCP header.
    """

    def __init__(self, width):
        self.width = width
        super().__init__({
            "i": In(packet_signature(width)), "o_header": Out(stream.Signature(FrameHeader)),
            "o_payload": Out(packet_signature(width)), "mac": In(48),
        })

    def elaborate(self, platform):
        m = Module()
        size, lanes = self.width // 8, self.width // 32
        ethernet_words = 16 // size
        m.submodules.segment_cut = segment_cut = PacketSlice(self.width, granule=4)
        m.submodules.payload_cut = payload_cut = PacketSlice(self.width, granule=4)

        header = Signal(FrameHeader)
        ip = header.network.ipv4
        ethernet = Signal(128)                  # two bytes of padding, addresses, type
        m.d.comb += [
            Cat(header.ethertype, header.source_mac, header.destination_mac).eq(ethernet[:112]),
            self.o_header.payload.eq(header), self.o_header.p.length.eq(header.length - 2),
        ]

        # frame -> network words: capture beside the first register
        index = Signal(5)                       # word of the frame, saturates
        word, word_valid, network, word_index = Signal(packet_layout(self.width)), Signal(), Signal(), Signal(5)
        word_free = Signal()
        is_ip = Signal()
        m.d.comb += [
            is_ip.eq(header.ethertype == ETHERTYPE_IPV4),
            segment_cut.i.payload.eq(word),
            segment_cut.i.valid.eq(word_valid & network & is_ip),
            word_free.eq(~word_valid | ~(network & is_ip) | segment_cut.i.ready),
        ]
        with m.If(word_free):
            m.d.sync += word_valid.eq(0)
        with m.If(word_valid & network & word_free):
            m.d.sync += header.ip_sum.eq(header.ip_sum + sum(
                Mux((word_index * lanes + n) < ip.header_words, half, 0)
                for n in range(lanes) for half in _halves(_lane(word.data, n))))
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                word.eq(self.i.payload), word_valid.eq(1), network.eq(index >= ethernet_words), word_index.eq(index - ethernet_words),
                header.length.eq(header.length + size - Mux(self.i.p.last, self.i.p.empty, 0)),
                header.port.eq(self.i.p.port), header.err.eq(self.i.p.last & self.i.p.err),
            ]
            with m.If(index != 31):
                m.d.sync += index.eq(index + 1)
            for n in range(4 + 7):
                target = _lane(ethernet, n) if n < 4 else header.network.words[n - 4]
                with m.If(index == n // lanes):
                    m.d.sync += target.eq(_lane(self.i.p.data, n % lanes))

        # network words -> segment
        segment_length = Signal(16)
        m.d.sync += segment_length.eq(ip.total_length - (ip.header_words << 2))
        m.d.comb += [
            segment_cut.start.eq(Mux(ip.header_words < 5, 20, ip.header_words << 2)), segment_cut.end.eq(ip.total_length),
        ]
        segment, segment_valid, segment_index = Signal(packet_layout(self.width)), Signal(), Signal(4)
        partial, partial_valid = Signal(20), Signal()
        m.d.comb += [
            payload_cut.i.payload.eq(segment), payload_cut.i.valid.eq(segment_valid),
            segment_cut.o.ready.eq(~segment_valid | payload_cut.i.ready),
        ]
        m.d.sync += partial_valid.eq(0)
        with m.If(payload_cut.i.ready):
            m.d.sync += segment_valid.eq(0)
        with m.If(segment_cut.o.valid & segment_cut.o.ready):
            m.d.sync += [segment.eq(segment_cut.o.payload), segment_valid.eq(1)]
            m.d.sync += [partial.eq(sum(_halves(segment_cut.o.p.data))), partial_valid.eq(1)]
            with m.If(segment_index != 15):
                m.d.sync += segment_index.eq(segment_index + 1)
            for n in range(5 + 10):
                target = header.tcp.as_value()[32 * n:32 * n + 32] if n < 5 else header.options[n - 5]
                with m.If(segment_index == n // lanes):
                    m.d.sync += target.eq(_lane(segment_cut.o.p.data, n % lanes))
        with m.If(partial_valid):
            m.d.sync += header.tcp_sum.eq(header.tcp_sum + partial)

        # segment -> payload. The event builder judges the frame; this only keeps rubbish out of the scratchpad.
        worth = Signal()
        m.d.sync += worth.eq(
            (header.destination_mac == self.mac) & (ip.version == 4) & (ip.header_words >= 5) & ~ip.more_fragments
            & (ip.fragment_offset == 0) & (ip.protocol == PROTOCOL_TCP)
            & (ip.total_length >= (ip.header_words << 2)) & (header.tcp.offset >= 5)
            & (header.ip_sum[:16] + header.ip_sum[16:] == 0xFFFF))
        m.d.comb += [
            payload_cut.start.eq(Mux(header.tcp.offset < 5, 20, header.tcp.offset << 2)),
            payload_cut.end.eq(Mux(worth, segment_length, 0)),
        ]
        wiring.connect(m, payload_cut.o, wiring.flipped(self.o_payload))
        with m.If(self.o_payload.valid & self.o_payload.ready & self.o_payload.p.last):
            m.d.sync += header.stored.eq(1)

        with m.FSM():
            with m.State("RECEIVE"):
                m.d.comb += self.i.ready.eq(word_free)
                with m.If(self.i.valid & self.i.ready & self.i.p.last):
                    m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.comb += self.o_header.valid.eq(~(word_valid | segment_cut.busy | segment_valid | partial_valid
                                                     | payload_cut.busy))
                with m.If(self.o_header.valid & self.o_header.ready):
                    m.d.sync += [
                        index.eq(0), segment_index.eq(0), header.length.eq(0), header.stored.eq(0), header.ip_sum.eq(0),
                        header.tcp_sum.eq(0),
                    ]
                    m.next = "RECEIVE"
        return m
