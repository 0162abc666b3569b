"""Flowstate memory shared by the clusters and the failover unit."""
from amaranth.hdl import Module, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.dma import FlowstateBeat, FlowstateWrite
from ..lib.read_share import ReadShare
from ..lib.stream_arbiter import StreamArbiter

__all__ = ["FlowstateBus"]


class FlowstateBus(wiring.Component):
    """Shares flowstate memory: the clusters read and write it, the failover unit writes it.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.

    Members
    -------
    i_read : In(stream of 16 bits), params.clusters times
        Connection whose flowstate a cluster reads.
    o_data : Out(stream of FlowstateBeat), params.clusters times
        The beats that this cluster asked for.
    i_write : In(stream of FlowstateWrite), params.clusters + 1 times
        Beats that the clusters write; the last one is for the failover unit, which applies records.
    o_read : Out(stream of 16 bits)
        To the memory.
    i_data : In(stream of FlowstateBeat)
        From the memory, in the order of the reads.
    o_write : Out(stream of FlowstateWrite)
        To the memory.

    Timing
    ------
    Latency 2 clocks for a read or write, 0 for a beat read. Throughput 1 write per clock, and beats as fast as the
    memory gives them. A cluster that does not take its beats holds the reads of the others. Writes take turns.

    Drop
    ----
    None.

    Reset
    -----
    Nothing under way.

    Source
    ------
    Patent §III.B, flowstate memory 214.
    """

    def __init__(self, params):
        self.params = params
        n = params.clusters
        super().__init__({
            "i_read": In(stream.Signature(unsigned(16))).array(n),
            "o_data": Out(stream.Signature(FlowstateBeat)).array(n),
            "i_write": In(stream.Signature(FlowstateWrite)).array(n + 1),
            "o_read": Out(stream.Signature(unsigned(16))), "i_data": In(stream.Signature(FlowstateBeat)),
            "o_write": Out(stream.Signature(FlowstateWrite)),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.clusters
        m.submodules.reads = reads = ReadShare(unsigned(16), FlowstateBeat, n)
        m.submodules.writes = writes = StreamArbiter(FlowstateWrite, n + 1, packets=False)
        for k in range(n):
            wiring.connect(m, wiring.flipped(self.i_read[k]), reads.i_request[k])
            wiring.connect(m, reads.o_answer[k], wiring.flipped(self.o_data[k]))
        for k in range(n + 1):
            wiring.connect(m, wiring.flipped(self.i_write[k]), writes.i[k])
        wiring.connect(m, reads.o_request, wiring.flipped(self.o_read))
        wiring.connect(m, wiring.flipped(self.i_data), reads.i_answer)
        wiring.connect(m, writes.o, wiring.flipped(self.o_write))
        return m
