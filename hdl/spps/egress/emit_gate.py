"""Last stage of the output processor: whole frames leave, or nothing of them.

Source: patent §X.B; architecture rule "no two masters".
"""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature
from ..lib.counters import Counters
from .frame_assembler import assembled_layout

__all__ = ["EmitGate"]


class EmitGate(wiring.Component):
    """Lets a frame out when `enable` is high in the clock in which its first word enters the output register.

    A frame that was offered is never cut and never withdrawn. One word of one allowed frame may wait here for
    `o.ready`.

    Parameters
    ----------
    params : SppsParams
        data_width.

    Members
    -------
    i : In(stream of assembled_layout)
        Words of frames.
    o : Out(stream of packet)
        Words of the frames that leave.
    enable : In(1)
        Emission is allowed.
    count : Out(COUNTERS.layout)
        Each frame counts with its first word: that of an output as `frames` or `suppressed`, an echo reply as `echoes`
        or `echoes_suppressed`, an announcement as `announcements` or `announcements_suppressed`.

    Timing
    ------
    Latency 1 clock. Throughput 1 word per clock. `i.ready` follows `o.ready` combinationally; a suppressed frame is
    swallowed also while `o` waits.

    Drop
    ----
    `suppressed`, `echoes_suppressed`, `announcements_suppressed`: whole frames.

    Reset
    -----
    Before a first word.

    Source
    ------
    Patent §X.B; architecture rule "no two masters".
    """

    COUNTERS = Counters({
        "frames": "frames that left",
        "payload_frames": "frames with payload that left, a part of egress_frames",
        "overtook": "frames that left before an older output that waited for its payload, a part of egress_frames",
        "suppressed": "frames dropped whole because emission was disabled at their first word",
        "echoes": "ICMP echo replies that left, no part of egress_frames",
        "echoes_suppressed": "ICMP echo replies dropped whole because emission was disabled at their first word",
        "announcements": "gratuitous ARP frames that left, no part of egress_frames",
        "announcements_suppressed": "gratuitous ARP frames dropped whole because emission was disabled at their first "
                                    "word",
    })

    def __init__(self, params):
        super().__init__({
            "i": In(stream.Signature(assembled_layout(params.data_width))),
            "o": Out(packet_signature(params.data_width)),
            "enable": In(1),
            "count": Out(self.COUNTERS.layout),
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
                echo, announcement = self.i.payload.echo, self.i.payload.announcement
                output = ~echo & ~announcement
                m.d.comb += [
                    self.count.frames.eq(leaves & output),
                    self.count.payload_frames.eq(leaves & self.i.payload.payload),
                    self.count.overtook.eq(leaves & self.i.payload.overtook),
                    self.count.suppressed.eq(~leaves & output),
                    self.count.echoes.eq(leaves & echo), self.count.echoes_suppressed.eq(~leaves & echo),
                    self.count.announcements.eq(leaves & announcement),
                    self.count.announcements_suppressed.eq(~leaves & announcement),
                ]
        return m
