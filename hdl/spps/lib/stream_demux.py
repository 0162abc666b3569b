"""Sends each transfer of a stream to one of n."""
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .counters import Counters
from .skid_buffer import SkidBuffer

__all__ = ["StreamDemux"]


class StreamDemux(wiring.Component):
    """Sends each transfer of `i` to `o[select(payload)]`.

    Parameters
    ----------
    shape : ShapeLike
        Payload of the streams.
    n : int
        Outputs, at least 1; ValueError otherwise.
    select : callable
        From the payload, a Value, to the number of the output, a Value.

    Members
    -------
    i : In(stream of shape)
        Transfers to distribute.
    o : Out(stream of shape), n times
        Outputs. All show the same payload.
    count : Out(COUNTERS.layout)
        Pulses.

    Timing
    ------
    Latency 1 clock. Throughput 1 transfer per clock. A transfer whose output is not ready holds the transfers behind
    it.

    Drop
    ----
    no_target : a transfer whose number is n or more.

    Reset
    -----
    Empty.
    """

    COUNTERS = Counters({"no_target": "transfers to an output that does not exist, discarded"})

    def __init__(self, shape, n, select):
        if n < 1:
            raise ValueError(f"n={n!r}: must be at least 1")
        self.shape, self.n, self.select = shape, n, select
        super().__init__({
            "i": In(stream.Signature(shape)),
            "o": Out(stream.Signature(shape)).array(n),
            "count": Out(self.COUNTERS.layout),
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
                m.d.comb += [skid.o.ready.eq(1), self.count.no_target.eq(skid.o.valid)]
        return m
