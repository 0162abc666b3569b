"""Frames to events and payloads."""
from amaranth.hdl import Cat, Module, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import Event
from ..layouts.packet import packet_signature
from ..layouts.scratchpad import ScratchPage
from .event_builder import EventBuilder, Verdict
from .header_parser import HeaderParser
from .packet_pad import PacketPad

__all__ = ["MessageSplitter"]


class MessageSplitter(wiring.Component):
    """Splits each Ethernet II frame into one typed event and its payload, or counts why not.

    Source: patent §II, F2 206/208; RFC 791, RFC 826, RFC 9293, RFC 1122.
    Parameters: params: data_width.
    Members: i, frames without FCS; o_event, ARP and TCP; o_payload to the scratchpad, left-aligned, without Ethernet
    padding, never
    empty; i_page, one answer per payload packet, in order; o_free, chains of frames found bad after their payload had been
    stored; mac, vip,
    own addresses; count, one pulse per COUNTERS entry: frames = events + all others once the input rests.
    Latency: an event follows the last word of its frame by 9 to 16 clocks, and one per option byte beyond the usual, if the
    scratchpad
    answers at once.
    Throughput: one word per clock, 5 to 8 clocks more per frame.
    Backpressure: i waits for o_payload and, one frame later, for o_event, o_free and i_page.
    Drop: see Verdict. Reset: idle.
    """

    COUNTERS = ("frames", "events") + tuple(v.name.lower() for v in Verdict if v is not Verdict.EVENT)

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i": In(packet_signature(params.data_width)), "o_event": Out(stream.Signature(Event)),
            "o_payload": Out(packet_signature(params.data_width)), "i_page": In(stream.Signature(ScratchPage)),
            "o_free": Out(stream.Signature(unsigned(16))), "mac": In(48), "vip": In(data.ArrayLayout(32, 2)),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.pad = pad = PacketPad(self.params.data_width)
        m.submodules.parser = parser = HeaderParser(self.params.data_width)
        m.submodules.builder = builder = EventBuilder()
        wiring.connect(m, wiring.flipped(self.i), pad.i)
        wiring.connect(m, pad.o, parser.i)
        wiring.connect(m, parser.o_header, builder.i_header)
        wiring.connect(m, parser.o_payload, wiring.flipped(self.o_payload))
        wiring.connect(m, wiring.flipped(self.i_page), builder.i_page)
        wiring.connect(m, builder.o_event, wiring.flipped(self.o_event))
        wiring.connect(m, builder.o_free, wiring.flipped(self.o_free))
        m.d.comb += [
            parser.mac.eq(self.mac), builder.mac.eq(self.mac), builder.vip.eq(self.vip),
            self.count.eq(Cat(builder.frames, *(builder.judged & (builder.verdict == verdict) for verdict in Verdict))),
        ]
        return m
