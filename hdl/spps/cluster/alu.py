"""Arithmetic unit of the protocol core."""
from amaranth.hdl import Array, C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .decoder import Control, Logic

__all__ = ["Alu"]


def _at_least(m, name, bound, enable=1):
    """Return 32 bits, bit i: i >= bound (5 bits). By groups of four, which costs half of 32 comparisons."""
    high, low = bound[2:], bound[:2]
    above, equal = Signal(8, name=f"{name}_above"), Signal(8, name=f"{name}_equal")
    within = Signal(4, name=f"{name}_within")
    m.d.comb += [
        above.eq(Cat(enable & (high < k) for k in range(8))), equal.eq(Cat(enable & (high == k) for k in range(8))),
        within.eq(Cat(low <= k for k in range(4))),
    ]
    return Cat(above[i >> 2] | (equal[i >> 2] & within[i & 3]) for i in range(32))


class Alu(wiring.Component):
    """Everything a register instruction or a branch computes from two operands.

    One adder serves add, sub, comparisons and picks; one rotator serves shifts and fields.

    Members
    -------
    control : In(Control)
        Signals of the decoder.
    a, b : In(32)
        Operands. b is the immediate, or inverted where the instruction subtracts, or 0 for shifts.
    carry_in : In(1)
        Carry into bit 0.
    count : In(5), bits
        Distance of a shift, or position of a field.
    stop : In(5)
        Last bit of a field.
    bit_low, bit_high : In(4), In(8)
        Bits 1..0 and 4..2 of the bit number of bbs and bbc, one-hot.
    result : Out(32)
        Result of a register instruction.
    sum, carry : Out(32), Out(1)
        Of the adder.
    met : Out(1)
        The branch condition holds, for a branch that does not compare.
    met_late : Out(1)
        The branch condition holds, for a branch that compares.

    Timing
    ------
    Combinational.

    Source
    ------
    Patent §V; effects as written in `ucode.isa`.
    """

    control: In(Control)
    a: In(32)
    b: In(32)
    carry_in: In(1)
    count: In(5)
    stop: In(5)
    bit_low: In(4)
    bit_high: In(8)
    result: Out(32)
    sum: Out(32)
    carry: Out(1)
    met: Out(1)
    met_late: Out(1)

    def elaborate(self, platform):
        m = Module()
        c, a, b = self.control, self.a, self.b

        # Carry-in as a bit below the operands: one carry chain.
        total = Signal(34)
        m.d.comb += total.eq(Cat(C(1, 1), a) + Cat(self.carry_in, b))
        sum_ = self.sum
        m.d.comb += [sum_.eq(total[1:33]), self.carry.eq(total[33])]

        # A pick is decided late: it has the last input of the logic function.
        first, choose = Signal(), Signal()
        m.d.comb += [
            first.eq(Mux(c.signed, sum_[31], ~self.carry)), choose.eq(first ^ c.pick_max),
        ]
        logic = Signal(32)
        for half, function in ((slice(0, 16), c.low), (slice(16, 32), c.high)):
            plain = Signal(16, name=f"logic_{half.start}")
            with m.Switch(function):
                with m.Case(Logic.AND):
                    m.d.comb += plain.eq(a[half] & b[half])
                with m.Case(Logic.OR):
                    m.d.comb += plain.eq(a[half] | b[half])
                with m.Case(Logic.XOR):
                    m.d.comb += plain.eq(a[half] ^ b[half])
                with m.Case(Logic.SECOND):
                    m.d.comb += plain.eq(b[half])
            m.d.comb += logic[half].eq(Mux(c.pick, Mux(choose, a[half], ~b[half]), plain))

        # Left by n is right by -n. Kept are the bits from `count` on (left) and up to `stop`; the others are b.
        turn, last, rotated, keep = Signal(5), Signal(5), Signal(32), Signal(32)
        m.d.comb += [
            # no carry chain: it would start the longest path
            turn.eq(self.count ^ Cat(c.left & self.count[:k].any() for k in range(5))),
            last.eq(Mux(c.right, ~self.count, self.stop)),
        ]
        stage = a
        for bit in (0, 2):
            stage = Array(stage.rotate_right(k << bit) for k in range(4))[turn[bit:bit + 2]]
        m.d.comb += [
            rotated.eq(Mux(turn[4], stage.rotate_right(16), stage)),
            # i <= last is 31 - i >= 31 - last
            keep.eq(_at_least(m, "from", self.count & c.left.replicate(5), c.shift)
                    & _at_least(m, "upto", ~last)[::-1]),
            self.result.eq(Mux(c.add, sum_, (rotated & keep) | (logic & ~keep))),
        ]

        tested = Cat(self.bit_high[k] & (a.word_select(k, 4) & self.bit_low).any() for k in range(8)).any()
        # The order comes late from the carry chain: one gate more until the branch is decided.
        m.d.comb += [
            self.met.eq(~c.compare & (Mux(c.by_bit, tested, a == b) ^ c.invert)),
            self.met_late.eq(first ^ c.invert),
        ]
        return m
