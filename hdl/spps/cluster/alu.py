"""Arithmetic unit of the protocol core."""
from amaranth.hdl import Array, C, Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .decoder import Condition, Control, Logic, Result

__all__ = ["Alu"]


class Alu(wiring.Component):
    """Everything a register instruction or a branch computes from two operands.

    Source: patent §V; effects as written in `ucode.isa`.
    Members: control; a, b operands (b may be the immediate); position, stop: field of ext and ins; extra: value of a base
    register or CSR; result; met: the branch condition holds.
    Latency: combinational. One adder serves add, sub, comparisons and picks; one rotator serves shifts, fields and bits.
    """

    control: In(Control)
    a: In(32)
    b: In(32)
    position: In(5)
    stop: In(6)
    extra: In(32)
    result: Out(32)
    met: Out(1)

    def elaborate(self, platform):
        m = Module()
        c, a, b = self.control, self.a, self.b

        # Carry-in as a bit below the operands: one carry chain.
        total = Signal(34)
        m.d.comb += total.eq(Cat(C(1, 1), a) + Cat(c.subtract, b ^ c.subtract.replicate(32)))
        sum_, carry = total[1:33], total[33]
        above = Signal(32)      # a + b + 1, chosen by the carry of a + b: ones complement without a second pass
        m.d.comb += above.eq((Cat(C(1, 1), a) + Cat(C(1, 1), b))[1:])

        logic = Signal(32)
        for half, function in ((slice(0, 16), c.low), (slice(16, 32), c.high)):
            with m.Switch(function):
                with m.Case(Logic.AND):
                    m.d.comb += logic[half].eq(a[half] & b[half])
                with m.Case(Logic.OR):
                    m.d.comb += logic[half].eq(a[half] | b[half])
                with m.Case(Logic.XOR):
                    m.d.comb += logic[half].eq(a[half] ^ b[half])
                with m.Case(Logic.SECOND):
                    m.d.comb += logic[half].eq(b[half])

        # Left by n is right by 32 - n = ~n + 1: the extra place is taken at the input.
        count = Signal(5)
        turn = Signal(5)
        source = Signal(32)
        rotated = Signal(32)
        m.d.comb += [
            count.eq(Mux(c.insert, self.position, b[:5])),
            turn.eq(count ^ c.left.replicate(5)),
            source.eq(Mux(c.insert, b.rotate_right(1), Mux(c.left, a.rotate_right(1), a))),
        ]
        stage = source
        for bit in (0, 2):
            stage = Array(stage.rotate_right(k << bit) for k in range(4))[turn[bit:bit + 2]]
        m.d.comb += rotated.eq(Mux(turn[4], stage.rotate_right(16), stage))
        reach = Signal(32)      # reach[i]: i >= count
        below = Signal(32)      # below[i]: i < stop
        m.d.comb += [
            reach.eq(Cat(count <= i for i in range(32))),
            below.eq(Cat(self.stop > i for i in range(32))),
        ]
        keep = Mux(c.left, reach, reach[::-1]) & below
        shifted = (rotated & keep) | (a & ~keep & c.insert.replicate(32))

        first = Mux(c.pick_signed, sum_[31], ~carry)
        picked = Mux(first ^ c.pick_max, a, b)

        with m.Switch(c.result):
            with m.Case(Result.ADD):
                m.d.comb += self.result.eq(sum_)
            with m.Case(Result.OADD):
                m.d.comb += self.result.eq(Mux(carry, above, sum_))
            with m.Case(Result.SHIFT):
                m.d.comb += self.result.eq(shifted)
            with m.Case(Result.PICK):
                m.d.comb += self.result.eq(picked)
            with m.Case(Result.LOGIC):
                m.d.comb += self.result.eq(logic)
            with m.Default():
                m.d.comb += self.result.eq(self.extra)

        with m.Switch(c.condition):
            with m.Case(Condition.EQUAL):
                m.d.comb += self.met.eq((a == b) ^ c.invert)
            with m.Case(Condition.BELOW):
                m.d.comb += self.met.eq(~carry ^ c.invert)
            with m.Case(Condition.BEFORE):
                m.d.comb += self.met.eq(sum_[31] ^ c.invert)
            with m.Case(Condition.BIT):
                m.d.comb += self.met.eq(rotated[0] ^ c.invert)
        return m
