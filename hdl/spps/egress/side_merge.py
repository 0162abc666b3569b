"""Frames that no core has asked for between the frames of outputs: announcements, ICMP echo replies."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature
from .frame_assembler import assembled_layout

__all__ = ["SideMerge"]


class SideMerge(wiring.Component):
    """Joins the frames of outputs, of announcements and of echo replies, frame by frame.

    Of those that are there an announcement goes first: there are few, and hosts and switches that do not know the way
    lose what comes after. An output goes before an echo reply.

    Parameters
    ----------
    params : SppsParams
        data_width.

    Members
    -------
    i : In(stream of assembled_layout)
        Frames of outputs.
    i_announce : In(stream of packet)
        Announcements.
    i_echo : In(stream of packet)
        Frames of echo replies.
    o : Out(stream of assembled_layout)
        All.

    Timing
    ------
    Latency 0. Throughput 1 word per clock. `ready` of the inputs is combinational in `o.ready`.

    Drop
    ----
    None.

    Reset
    -----
    Between two frames.

    Source
    ------
    None.
    """

    def __init__(self, params):
        super().__init__({
            "i": In(stream.Signature(assembled_layout(params.data_width))),
            "i_announce": In(packet_signature(params.data_width)), "i_echo": In(packet_signature(params.data_width)),
            "o": Out(stream.Signature(assembled_layout(params.data_width))),
        })

    def elaborate(self, platform):
        m = Module()
        inside = Signal()                           # a frame has begun, or its first word is offered
        chosen, kept = Signal(2), Signal(2)         # bit 0: an announcement, bit 1: an echo reply; neither: an output
        first = Mux(self.i_announce.valid, 1, Mux(self.i.valid, 0, 2))
        m.d.comb += [
            chosen.eq(Mux(inside, kept, first)), self.o.payload.eq(self.i.payload),
            self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready & (chosen == 0)),
        ]
        for bit, (side, name) in enumerate(((self.i_announce, "announcement"), (self.i_echo, "echo"))):
            m.d.comb += side.ready.eq(self.o.ready & chosen[bit])
            with m.If(chosen[bit]):
                m.d.comb += [
                    self.o.valid.eq(side.valid), self.o.p.packet.eq(side.payload), self.o.p.payload.eq(0),
                    self.o.p.overtook.eq(0), getattr(self.o.p, name).eq(1),
                ]
        with m.If(self.o.valid):
            m.d.sync += [inside.eq(~(self.o.ready & self.o.p.packet.last)), kept.eq(chosen)]
        return m
