"""DIP-4 check of the received words."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import spi4_signature
from ..lib.counters import Counters
from .control import SOP_SPACING, ControlWord, checked_layout
from .dip import DIP4

__all__ = ["DipChecker"]


class DipChecker(wiring.Component):
    """Mark control words whose DIP-4 is wrong, at line rate.

    Parameters
    ----------
    width : int
        Datapath in bits: width // 16 words per clock.
    dip : Dip4
        Parity of the link.

    Members
    -------
    i : In(spi4_signature(width))
        Groups of words; lane 0 is the first on the wire.
    o_valid : Out(1)
        `o` holds a group.
    o : Out(checked_layout)
        The same words with one finding per lane. They never wait.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency one clock. Throughput one group per clock. No backpressure.

    Drop
    ----
    None.

    Reset
    -----
    Parity of no words; no SOP before.

    Source
    ------
    OIF-SPI4-02.1 §6.2.
    """

    COUNTERS = Counters({"sop_spacing": f"groups of words with an SOP less than {SOP_SPACING} words behind another"})

    def __init__(self, width, *, dip=DIP4):
        self.width, self.dip = width, dip
        super().__init__({
            "i": In(spi4_signature(width)), "o_valid": Out(1), "o": Out(checked_layout(width // 16)),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        lanes = self.width // 16
        total = Signal(16)
        history = Signal(SOP_SPACING - 1)       # SOP of the words before, the oldest in bit 0
        running, sops, bad = total, [], []
        for n in range(lanes):
            word, is_control = self.i.p.data[n], self.i.p.ctl[n]
            control = ControlWord(word)
            step, closed = Signal(16, name=f"step_{n}"), Signal(16, name=f"closed_{n}")
            m.d.comb += [closed.eq(self.dip.step(running, word | 0xF)),
                         step.eq(Mux(is_control, 0, self.dip.step(running, word)))]
            bad.append(is_control & (self.dip.fold(closed) != control.dip))
            sops.append(is_control & control.payload & control.sop)
            running = step
        seen = Cat(history, *sops)
        m.d.sync += [self.o_valid.eq(self.i.valid), self.count.sop_spacing.eq(0)]
        with m.If(self.i.valid):
            m.d.sync += [
                total.eq(running), history.eq(seen[lanes:]),
                self.o.data.eq(self.i.p.data), self.o.ctl.eq(self.i.p.ctl), self.o.bad.eq(Cat(*bad)),
                self.count.sop_spacing.eq(
                    Cat(*(sop & seen[n:n + SOP_SPACING - 1].any() for n, sop in enumerate(sops))).any()),
            ]
        return m
