"""Last stage of the output processor: whole frames leave, or nothing of them.

Source: patent §X.B; architecture rule "no two masters".
"""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature
from .frame_assembler import assembled_layout

__all__ = ["EmitGate"]


class EmitGate(wiring.Component):
    """Lets a frame out when `enable` is high in the clock in which its first word enters the output register.

    Once offered, a frame is never cut and never withdrawn. One word of one allowed frame may wait here for `o.ready`.

    Parameters: params.
    Members: i: words of frames; o; enable.
    Latency: 1 clock. Throughput: one word per clock. Backpressure: `i.ready` follows `o.ready` combinationally;
    a suppressed frame is swallowed even while `o` waits.
    Drop: `suppressed`. `frames` counts those that leave, `payload_frames` and `overtook` some of them. Reset: before a first word.
    """

    COUNTERS = ("frames", "payload_frames", "overtook", "suppressed")

    def __init__(self, params):
        super().__init__({
            "i": In(stream.Signature(assembled_layout(params.data_width))),
            "o": Out(packet_signature(params.data_width)),
            "enable": In(1),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        first = Signal(init=1)
        allowed = Signal()          # this frame, after its first word
        leaves = Signal()
        m.d.comb += [
            leaves.eq(Mux(first, self.enable, allowed)),
            self.i.ready.eq(~self.o.valid | self.o.ready | (~first & ~allowed)),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [first.eq(self.i.payload.packet.last), allowed.eq(leaves)]
            with m.If(leaves):
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(self.i.payload.packet)]
            with m.If(first):
                m.d.comb += [
                    self.count[0].eq(leaves),
                    self.count[1].eq(leaves & self.i.payload.payload),
                    self.count[2].eq(leaves & self.i.payload.overtook),
                    self.count[3].eq(~leaves),
                ]
        return m
