"""A wrapper for placing and routing a block that has more port bits than the package has pins.

Inputs come from one long shift register, outputs are sampled into another. So nothing is optimized away, every path
goes from register to register, and three pins beside clock and reset suffice. Each port bit costs one flip-flop,
which is reported apart from the block.
"""
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportGeneralTypeIssues=false, reportInvalidTypeForm=false
# Amaranth makes the members of a component and the shapes in annotations at run time.
from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Pinless"]


class Pinless(wiring.Component):
    """Component `inner` between two shift registers.

    Raises ValueError for a name in `tied` that is no input.

    Parameters
    ----------
    inner : wiring.Component
        The block.
    tied : dict, optional
        {name of an input: constant} for inputs that a board ties; they get no flip-flop.

    Members
    -------
    shift_in : In(1)
        Next bit of the inputs' shift register.
    capture : In(1)
        Sample all outputs in this clock; otherwise their register shifts.
    shift_out : Out(1)
        Lowest bit of the outputs' shift register.

    Timing
    ------
    A set of inputs takes as many clocks to shift in as the inputs have bits; outputs likewise.

    Reset
    -----
    Both shift registers are cleared.
    """

    shift_in: In(1)
    capture: In(1)
    shift_out: Out(1)

    def __init__(self, inner, tied=None):
        self.inner, self.tied = inner, tied or {}
        inputs = [name for name, member in inner.signature.members.items() if member.is_port and member.flow == In]
        if unknown := sorted(self.tied.keys() - set(inputs)):
            raise ValueError(f"tied {', '.join(unknown)}: must be an input, has {', '.join(inputs)}")
        super().__init__()

    def elaborate(self, platform):
        """Put the block between the two shift registers."""
        m = Module()
        m.submodules.inner = self.inner
        inputs, outputs = [], []
        for path, member, value in self.inner.signature.flatten(self.inner):
            if path[0] in self.tied:
                m.d.comb += value.eq(self.tied[path[0]])
            elif not isinstance(Value.cast(value), Const):        # `ready` of a stream that is always ready
                (inputs if member.flow == In else outputs).append(Value.cast(value))
        source, sink = Cat(inputs), Cat(outputs)
        feed = Signal(len(source))
        sample = Signal(len(sink))
        m.d.sync += feed.eq(Cat(self.shift_in, feed))
        m.d.comb += source.eq(feed)
        with m.If(self.capture):
            m.d.sync += sample.eq(sink)
        with m.Else():
            m.d.sync += sample.eq(sample >> 1)
        m.d.comb += self.shift_out.eq(sample[0])
        return m
