"""DIP-4 of the words to be sent."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import link_layout, spi4_signature
from .dip import DIP4

__all__ = ["DipInserter"]


class DipInserter(wiring.Component):
    """Fill bits 3:0 of control words with their DIP-4.

    Parameters
    ----------
    width : int
        Datapath in bits: width // 16 words per clock.
    dip : Dip4
        Parity of the link.

    Members
    -------
    i : In(link_layout(width))
        A group of words in each clock; bits 3:0 of control words are ignored.
    o : Out(spi4_signature(width))
        The same words with parity.

    Timing
    ------
    Latency one clock. Throughput one group per clock. No backpressure.

    Drop
    ----
    None.

    Reset
    -----
    `o.valid` is 0 in the first clock and 1 from then on.

    Source
    ------
    OIF-SPI4-02.1 §6.2.
    """

    def __init__(self, width, *, dip=DIP4):
        self.width, self.dip = width, dip
        super().__init__({"i": In(link_layout(width)), "o": Out(spi4_signature(width))})

    def elaborate(self, platform):
        m = Module()
        total = Signal(16)
        running = total
        m.d.sync += [self.o.valid.eq(1), self.o.p.ctl.eq(self.i.ctl)]
        for n in range(self.width // 16):
            word = self.i.data[n]
            control, step = Signal(16, name=f"control_{n}"), Signal(16, name=f"step_{n}")
            m.d.comb += [control.eq(self.dip.step(running, word | 0xF)),
                         step.eq(Mux(self.i.ctl[n], 0, self.dip.step(running, word)))]
            m.d.sync += self.o.p.data[n].eq(Mux(self.i.ctl[n], Cat(self.dip.fold(control), word[4:]), word))
            running = step
        m.d.sync += total.eq(running)
        return m
