"""A number that two units compare to see whether they are configured alike."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.config import CONFIG, ConfigWord

__all__ = ["ConfigDigest"]


class ConfigDigest(wiring.Component):
    """Sum of all words of CONFIG but the secret ones, and of all such sums on the way (as in RFC 1146, appendix A).

    Members
    -------
    cfg : In(ConfigWord)
        The words, one after the other, again and again.
    o : Out(32)
        Second sum modulo 2^32 of the last whole round.

    Timing
    ------
    A change shows after at most two rounds.

    Drop
    ----
    Nothing. Keys are left out, because a sum of them would tell something about them.

    Reset
    -----
    0 until a round has passed.

    Source
    ------
    RFC 1146, Fletcher's sum with words of 32 bits.
    """

    def __init__(self):
        super().__init__({"cfg": In(ConfigWord), "o": Out(32)})

    def elaborate(self, platform):
        m = Module()
        first, second = Signal(32), Signal(32)
        index = self.cfg.index
        secret = [n for n, word in enumerate(CONFIG) if word.secret]
        counted = Signal()
        m.d.comb += counted.eq(self.cfg.valid & ~sum((index == n for n in secret[1:]), index == secret[0]).any())
        with m.If(self.cfg.valid & (index == 0)):
            m.d.sync += [self.o.eq(second), first.eq(self.cfg.value), second.eq(self.cfg.value)]
        with m.Elif(counted):
            m.d.sync += [first.eq(first + self.cfg.value), second.eq(second + first + self.cfg.value)]
        return m
