"""DIP-4 check of the received words, at line rate."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import spi4_signature
from .control import SOP_SPACING, ControlWord, checked_layout
from .dip import Dip4

__all__ = ["DipChecker"]


class DipChecker(wiring.Component):
    """Mark control words whose DIP-4 is wrong.

    Source: OIF-SPI4-02.1 §6.2. Parameters: width; dip, a Dip4.
    Members: i; o_valid, o; sop_spacing, pulse: a SOP control word stands less than eight words after another.
    Latency: one clock. Throughput: all. Backpressure, Drop: none. Reset: sum of nothing.
    """

    def __init__(self, width, *, dip=Dip4()):
        self.width, self.dip = width, dip
        super().__init__({
            "i": In(spi4_signature(width)), "o_valid": Out(1), "o": Out(checked_layout(width // 16)), "sop_spacing": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        lanes = self.width // 16
        total = Signal(16)
        history = Signal(SOP_SPACING - 1)       # SOP of the words before, oldest in bit 0
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
        m.d.sync += [self.o_valid.eq(self.i.valid), self.sop_spacing.eq(0)]
        with m.If(self.i.valid):
            m.d.sync += [
                total.eq(running), history.eq(seen[lanes:]),
                self.o.data.eq(self.i.p.data), self.o.ctl.eq(self.i.p.ctl), self.o.bad.eq(Cat(*bad)),
                self.sop_spacing.eq(Cat(*(sop & seen[n:n + SOP_SPACING - 1].any() for n, sop in enumerate(sops))).any()),
            ]
        return m
