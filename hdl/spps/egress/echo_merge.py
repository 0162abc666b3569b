"""ICMP echo replies between the frames of outputs."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature
from .frame_assembler import assembled_layout

__all__ = ["EchoMerge"]


class EchoMerge(wiring.Component):
    """Joins the frames of outputs and of echo replies, frame by frame; an output that is there goes first.

    Parameters
    ----------
    params : SppsParams
        data_width.

    Members
    -------
    i : In(stream of assembled_layout)
        Frames of outputs.
    i_echo : In(stream of packet)
        Frames of echo replies.
    o : Out(stream of assembled_layout)
        Both.

    Timing
    ------
    Latency 0. Throughput 1 word per clock. `i.ready` and `i_echo.ready` are combinational in `o.ready`.

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
            "i_echo": In(packet_signature(params.data_width)),
            "o": Out(stream.Signature(assembled_layout(params.data_width))),
        })

    def elaborate(self, platform):
        m = Module()
        inside, kept, echo = Signal(), Signal(), Signal()   # a frame has begun, or its first word is offered
        m.d.comb += [
            echo.eq(Mux(inside, kept, ~self.i.valid)),
            self.o.valid.eq(Mux(echo, self.i_echo.valid, self.i.valid)),
            self.o.payload.eq(self.i.payload),
            self.i.ready.eq(self.o.ready & ~echo), self.i_echo.ready.eq(self.o.ready & echo),
        ]
        with m.If(echo):
            m.d.comb += [
                self.o.p.packet.eq(self.i_echo.payload), self.o.p.payload.eq(0), self.o.p.overtook.eq(0),
                self.o.p.echo.eq(1),
            ]
        with m.If(self.o.valid):
            m.d.sync += [inside.eq(~(self.o.ready & self.o.p.packet.last)), kept.eq(echo)]
        return m
