"""Joins two streams without holding anything back."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["StreamMerge"]


class StreamMerge(wiring.Component):
    """Two streams into one. Unlike StreamArbiter it has no place of its own: what an input has handed over has left on `o`.

    Parameters: shape of the payload. Members: i: array of two streams, the first goes before; o.
    Latency: none. Throughput: one transfer per clock, from either input.
    Backpressure: `o.ready` reaches the inputs combinationally; an offer that waits is not overtaken, as `o` may not withdraw it.
    Drop: none. Reset: nothing waits.
    """

    def __init__(self, shape):
        super().__init__({"i": In(stream.Signature(shape)).array(2), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        first, second = self.i
        waiting, kept, choice = Signal(), Signal(), Signal()        # choice: 1 is the second input
        m.d.comb += [
            choice.eq(Mux(waiting, kept, ~first.valid)),
            self.o.valid.eq(Mux(choice, second.valid, first.valid)), self.o.payload.eq(Mux(choice, second.payload, first.payload)),
            first.ready.eq(self.o.ready & ~choice), second.ready.eq(self.o.ready & choice),
        ]
        m.d.sync += [waiting.eq(self.o.valid & ~self.o.ready), kept.eq(choice)]
        return m
