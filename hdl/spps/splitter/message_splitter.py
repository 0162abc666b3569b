"""Frames to events and payloads."""
from amaranth.hdl import Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.echo import EchoRequest, message_word
from ..layouts.event import Event
from ..layouts.headers import VLAN_ID_BITS
from ..layouts.packet import packet_signature
from ..layouts.scratchpad import ScratchPage
from .event_builder import EventBuilder
from .frame_aligner import FrameAligner
from .header_parser import HeaderParser

__all__ = ["MessageSplitter"]


class MessageSplitter(wiring.Component):
    """Split each Ethernet II frame into one typed event and its payload, or count why not.

    Parameters
    ----------
    params : SppsParams
        Uses data_width.

    Members
    -------
    i : In(stream of packet)
        Frames without frame check sequence.
    o_event : Out(stream of Event)
        ARP messages, TCP segments, and ICMP messages about segments of ours that did not arrive.
    o_payload : Out(stream of packet)
        TCP payloads to the scratchpad: left-aligned, without Ethernet padding, never empty.
    i_page : In(stream of ScratchPage)
        The scratchpad's answers, one per payload in order.
    o_free : Out(stream of unsigned(16))
        References of stored payloads whose frames turned out bad.
    o_message : Out(stream of message_word, always ready)
        What each IP datagram carries, whatever becomes of its frame; complete before `o_echo`, and unchanged until it.
    o_echo : Out(stream of EchoRequest, always ready)
        Good ICMP echo requests to one of our addresses.
    mac : In(48)
        Own MAC address.
    vip : In(ArrayLayout(32, 2))
        Own IP address on each network; 0: none.
    vlan : In(ArrayLayout(12, params.ports))
        VLAN identifier of each network, in frames that come in; 0: none.
    tcp_flag_filter : In(1)
        Drop TCP segments without ACK, SYN and RST, and SYN with FIN or RST.
    count : Out(COUNTERS.layout)
        One pulse per occurrence. frames = sum of the others when no frame is inside.

    Timing
    ------
    An event leaves 10 to 16 clocks (17 at 128 bits) after the last word of its frame, and up to one later per option
    byte unless the options are NOP NOP TIMESTAMP, if the scratchpad answers at once. Throughput one word per clock, and
    on average up to 12 clocks more per frame; an ICMP message is judged before the next frame is taken. `i` waits for
    `o_payload` and, one frame later, for `o_event`, `o_free` and `i_page`.

    Drop
    ----
    Every frame whose Verdict is not EVENT, counted by verdict.

    Reset
    -----
    Idle.

    Source
    ------
    Patent §II, F2 206/208; RFC 791, RFC 792, RFC 826, RFC 1191, RFC 9293, RFC 1122; IEEE 802.1Q.
    """

    COUNTERS = EventBuilder.COUNTERS

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i": In(packet_signature(params.data_width)), "o_event": Out(stream.Signature(Event)),
            "o_payload": Out(packet_signature(params.data_width)), "i_page": In(stream.Signature(ScratchPage)),
            "o_free": Out(stream.Signature(unsigned(16))), "mac": In(48), "vip": In(data.ArrayLayout(32, 2)),
            "o_message": Out(stream.Signature(message_word(params.data_width), always_ready=True)),
            "o_echo": Out(stream.Signature(EchoRequest, always_ready=True)),
            "vlan": In(data.ArrayLayout(VLAN_ID_BITS, params.ports)), "tcp_flag_filter": In(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.aligner = aligner = FrameAligner(self.params)
        m.submodules.parser = parser = HeaderParser(self.params.data_width)
        m.submodules.builder = builder = EventBuilder()
        wiring.connect(m, wiring.flipped(self.i), aligner.i)
        wiring.connect(m, aligner.o, parser.i)
        wiring.connect(m, parser.o_header, builder.i_header)
        wiring.connect(m, parser.o_payload, wiring.flipped(self.o_payload))
        wiring.connect(m, wiring.flipped(self.i_page), builder.i_page)
        wiring.connect(m, builder.o_event, wiring.flipped(self.o_event))
        wiring.connect(m, builder.o_free, wiring.flipped(self.o_free))
        wiring.connect(m, parser.o_message, wiring.flipped(self.o_message))
        wiring.connect(m, builder.o_echo, wiring.flipped(self.o_echo))
        m.d.comb += [
            parser.judged.eq(builder.judged), aligner.vlan.eq(self.vlan),
            parser.unknown_vlan.eq(aligner.unknown_vlan),
            parser.mac.eq(self.mac), builder.mac.eq(self.mac), parser.vip.eq(self.vip), builder.vip.eq(self.vip),
            builder.tcp_flag_filter.eq(self.tcp_flag_filter), self.count.eq(builder.count),
        ]
        return m
