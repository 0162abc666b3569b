"""Diagonal interleaved parity of SPI-4 Phase 2 (OIF-SPI4-02.1): DIP-4 of the data path, DIP-2 of the status channel.

One object holds the parameters and computes in software; `step` and `fold` build the same as hardware.
"""
from dataclasses import dataclass
from enum import Enum

from amaranth.hdl import Value

__all__ = ["Rotation", "Dip4", "Dip2", "DIP4"]


class Rotation(Enum):
    """Which way the sum turns between two words; both ends of a link must agree."""

    RIGHT = 1
    LEFT = -1


@dataclass(frozen=True)
class Dip4:
    """Parity over a control word and the data words since the control word before.

    rotation: Rotation. The parity of a control word without data before it does not depend on it.
    """

    rotation: Rotation = Rotation.RIGHT

    def compute(self, words, control):
        """Return the control word with its parity in bits 3:0; words: the 16-bit data words before it."""
        total = 0
        for word in (*words, control | 0xF):
            total = self.step(total, word)
        return control & 0xFFF0 | self.fold(total)

    def step(self, total, word):
        """Return the sum after one more 16-bit word; ints or Values. A control word goes in with bits 3:0 set."""
        if isinstance(total, Value):
            turned = total.rotate_right(1) if self.rotation is Rotation.RIGHT else total.rotate_left(1)
            return (turned ^ word)[:16]
        low, high = (1, 15) if self.rotation is Rotation.RIGHT else (15, 1)
        return (total >> low | total << high) & 0xFFFF ^ word

    def fold(self, total):
        """Return the four parity bits of a sum; int or Value."""
        folded = total ^ total >> 8
        return (folded ^ folded >> 4)[:4] if isinstance(total, Value) else (folded ^ folded >> 4) & 0xF


#: of a link that is told nothing else
DIP4 = Dip4()


@dataclass(frozen=True)
class Dip2:
    """Parity over the 2-bit status words since the last framing word. A 2-bit word has one rotation only."""

    def compute(self, words):
        """Return the two parity bits behind `words`."""
        total = 0
        for word in (*words, 3):
            total = self.step(total, word)
        return total

    def step(self, total, word):
        """Return the sum after one more 2-bit word; ints or Values. The last word is 3."""
        if isinstance(total, Value):
            return (total.rotate_right(1) ^ word)[:2]
        return (total >> 1 | total << 1) & 3 ^ word
