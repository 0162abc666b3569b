"""Two words of storage that cut both directions of a stream at a block edge."""
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SkidBuffer"]


class SkidBuffer(wiring.Component):
    """Registers payload, valid and ready of a stream without losing throughput.

    Parameters
    ----------
    shape : ShapeLike
        Payload of the stream.

    Members
    -------
    i : In(stream of shape)
        Input.
    o : Out(stream of shape)
        The same transfers in the same order.

    Timing
    ------
    Latency 1 clock. Throughput 1 transfer per clock. `i.ready` is a register; it falls one clock after `o.ready`, and
    the word of that clock is kept aside.

    Drop
    ----
    None.

    Reset
    -----
    Empty.
    """

    def __init__(self, shape):
        super().__init__({"i": In(stream.Signature(shape)), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        aside = Signal.like(self.i.payload)
        full = Signal()
        m.d.comb += self.i.ready.eq(~full)
        with m.If(~self.o.valid | self.o.ready):
            m.d.sync += [
                self.o.valid.eq(full | self.i.valid),
                full.eq(0),
            ]
            with m.If(full):
                m.d.sync += self.o.payload.eq(aside)
            with m.Else():
                m.d.sync += self.o.payload.eq(self.i.payload)
        with m.Elif(self.i.valid & ~full):
            m.d.sync += [aside.eq(self.i.payload), full.eq(1)]
        return m
