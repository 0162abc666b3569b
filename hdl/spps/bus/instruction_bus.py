"""Instruction words of the host to the clusters."""
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.register import InstructionWrite
from ..lib.stream_demux import StreamDemux

__all__ = ["InstructionBus"]


class InstructionBus(wiring.Component):
    """Gives each instruction word to the cluster that it names.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.

    Members
    -------
    i : In(stream of InstructionWrite)
        Words from the registers.
    o : Out(stream of InstructionWrite), params.clusters times
        Words for each cluster.
    count : Out(COUNTERS.layout)
        Pulses.

    Timing
    ------
    Latency 1 clock. Throughput 1 word per clock. A cluster that is not ready holds the words behind it.

    Drop
    ----
    no_target : a word for a cluster that does not exist.

    Reset
    -----
    Empty.

    Source
    ------
    Patent §X.A.
    """

    COUNTERS = StreamDemux.COUNTERS

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i": In(stream.Signature(InstructionWrite)),
            "o": Out(stream.Signature(InstructionWrite)).array(params.clusters),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.clusters
        m.submodules.demux = demux = StreamDemux(InstructionWrite, n, lambda payload: payload.cluster)
        wiring.connect(m, wiring.flipped(self.i), demux.i)
        for k in range(n):
            wiring.connect(m, demux.o[k], wiring.flipped(self.o[k]))
        m.d.comb += self.count.eq(demux.count)
        return m
