"""Joins two streams without storage."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["StreamMerge"]


class StreamMerge(wiring.Component):
    """Joins two streams into one without storage: a transfer at an input is at the same time a transfer at `o`.

    Parameters
    ----------
    shape : ShapeLike
        Payload of the streams.

    Members
    -------
    i : In(stream of shape), 2 times
        Inputs; the first has priority.
    o : Out(stream of shape)
        Transfers of both.

    Timing
    ------
    Latency 0. Throughput 1 transfer per clock. `i.ready` is combinational in `o.ready`. An offer that waits at `o`
    keeps its place, because a stream does not withdraw an offer.

    Drop
    ----
    None.

    Reset
    -----
    Nothing waits.
    """

    def __init__(self, shape):
        super().__init__({"i": In(stream.Signature(shape)).array(2), "o": Out(stream.Signature(shape))})

    def elaborate(self, platform):
        m = Module()
        first, second = self.i
        waiting, kept, choice = Signal(), Signal(), Signal()        # choice: 1 is the second input
        m.d.comb += [
            choice.eq(Mux(waiting, kept, ~first.valid)),
            self.o.valid.eq(Mux(choice, second.valid, first.valid)),
            self.o.payload.eq(Mux(choice, second.payload, first.payload)),
            first.ready.eq(self.o.ready & ~choice), second.ready.eq(self.o.ready & choice),
        ]
        m.d.sync += [waiting.eq(self.o.valid & ~self.o.ready), kept.eq(choice)]
        return m
