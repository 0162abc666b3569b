"""A wrapper that lets a block with more ports than pins be placed and routed whole.

Inputs come from one long shift register, outputs are sampled into another: nothing is optimized away, every path stays
register to register, and four pins suffice. It costs one flip-flop per port bit, reported apart from the block.
"""
from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Pinless"]


class Pinless(wiring.Component):
    """Component `inner` between two shift registers. Latency: port width. Reset: none of its own.

    Parameters: inner; tied: {name of an input: constant}, inputs that a board ties and that get no flip-flop.

    Raises ValueError for a name in `tied` that is no input.
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
