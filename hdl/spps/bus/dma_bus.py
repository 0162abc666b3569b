"""DMA commands of the director to the clusters, and their answers back."""
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.dma import ClusterDma, DmaCommand
from ..lib.stream_arbiter import StreamArbiter
from ..lib.stream_demux import StreamDemux

__all__ = ["DmaBus"]


class DmaBus(wiring.Component):
    """Gives each DMA command to the cluster that it names, and puts the number of the cluster on each answer.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.

    Members
    -------
    i : In(stream of ClusterDma)
        Commands of the director.
    o : Out(stream of ClusterDma)
        Commands that are done, for the director.
    o_cluster : Out(stream of DmaCommand), params.clusters times
        Commands for each cluster.
    i_cluster : In(stream of DmaCommand), params.clusters times
        Commands that each cluster has done.
    count : Out(COUNTERS.layout)
        Pulses.

    Timing
    ------
    Latency 1 clock to a cluster, 2 clocks back. Throughput 1 command per clock. A cluster that is not ready holds the
    commands behind it.

    Drop
    ----
    no_target : a command for a cluster that does not exist.

    Reset
    -----
    Empty.

    Source
    ------
    Patent §III.B, §VI.
    """

    COUNTERS = StreamDemux.COUNTERS

    def __init__(self, params):
        self.params = params
        n = params.clusters
        super().__init__({
            "i": In(stream.Signature(ClusterDma)), "o": Out(stream.Signature(ClusterDma)),
            "o_cluster": Out(stream.Signature(DmaCommand)).array(n),
            "i_cluster": In(stream.Signature(DmaCommand)).array(n),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.clusters
        m.submodules.demux = demux = StreamDemux(ClusterDma, n, lambda payload: payload.cluster)
        m.submodules.done = done = StreamArbiter(ClusterDma, n, packets=False)
        wiring.connect(m, wiring.flipped(self.i), demux.i)
        wiring.connect(m, done.o, wiring.flipped(self.o))
        m.d.comb += self.count.eq(demux.count)
        for k in range(n):
            command, answer = demux.o[k], self.i_cluster[k]
            m.d.comb += [
                self.o_cluster[k].payload.eq(command.payload.command), self.o_cluster[k].valid.eq(command.valid),
                command.ready.eq(self.o_cluster[k].ready),
                done.i[k].payload.command.eq(answer.payload), done.i[k].payload.cluster.eq(k),
                done.i[k].valid.eq(answer.valid), answer.ready.eq(done.i[k].ready),
            ]
        return m
