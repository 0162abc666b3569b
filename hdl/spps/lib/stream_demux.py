"""Sends each transfer of a stream to one of n."""
from amaranth.hdl import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .skid_buffer import SkidBuffer

__all__ = ["StreamDemux"]


class StreamDemux(wiring.Component):
    """Each transfer of i goes to o[select(payload)]; a number without an output is counted and swallowed.

    Parameters: shape; n outputs; select: function from the payload to the number of the output.
    Members: i: stream; o: array of n streams; count: COUNTERS.
    Latency: 1 clock. Throughput: 1 transfer per clock.
    Backpressure: a transfer whose output is not ready holds the ones behind it.
    Drop: COUNTERS no_target. Reset: empty.
    """

    COUNTERS = ("no_target",)

    def __init__(self, shape, n, select):
        if n < 1:
            raise ValueError(f"n={n!r}: must be at least 1")
        self.shape, self.n, self.select = shape, n, select
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)).array(n),
            "count": Out(unsigned(1)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.skid = skid = SkidBuffer(self.shape)
        wiring.connect(m, wiring.flipped(self.i), skid.i)
        for o in self.o:
            m.d.comb += o.payload.eq(skid.o.payload)
        with m.Switch(self.select(skid.o.payload)):
            for k in range(self.n):
                with m.Case(k):
                    m.d.comb += [self.o[k].valid.eq(skid.o.valid), skid.o.ready.eq(self.o[k].ready)]
            with m.Default():
                m.d.comb += [skid.o.ready.eq(1), self.count.eq(skid.o.valid)]
        return m
