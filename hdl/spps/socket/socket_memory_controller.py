"""Socket memory controller: the buffers of all connections and the ordered chain of commands through them.

Source: patent §IV, §X.A (SMC 758), F2 236, F7 758.
"""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.message import beat_signature
from ..layouts.packet import packet_signature
from ..layouts.scratchpad import ScratchRead
from ..layouts.socket import SocketRead
from .axi_memory import AxiMemory, axi_signature
from .geometry import Geometry
from .onchip_memory import OnchipMemory
from .page_directory import PageDirectory
from .page_writer import PageWriter
from .pool_watermarks import PoolWatermarks, pool_status_layout
from .socket_commands import SocketCommands
from .socket_reader import SocketReader

__all__ = ["SocketMemoryController"]


class SocketMemoryController(wiring.Component):
    """Keeps one ring of pages per connection and direction; executes copies into it and serves reads from it.

    Parameters
    ----------
    params : SppsParams
        connections, data_width, socket_bytes, page_bytes, pool_pages, socket_memory.

    Members
    -------
    i_cmd : In(stream of beat)
        Messages COPY, RELEASE, CONSUMED, OUTPUT and SYNC, executed one after the other.
    o_cmd : Out(stream of beat)
        OUTPUT and SYNC, each when every earlier COPY is written.
    o_scratch : Out(stream of ScratchRead)
        Payload wanted from the scratchpad.
    i_scratch : In(stream of packet)
        One answer per request, in order.
    o_free : Out(stream of 16)
        First page of a scratchpad chain that is given back, after its copy.
    i_read : In(stream of SocketRead)
        Reads of the output processor.
    o_data : Out(stream of packet)
        One answer per read, in order; ends with `err` when its bytes are not there.
    active : In(1)
        1 active, 0 standby. Copies are refused while it is 0, and when it falls all pages become free.
    low_watermark : In(4), sixteenths of a pool
        See PoolWatermarks.
    pool_status : Out(pool_status_layout)
        See PoolWatermarks.
    pools_ready : Out(1)
        See PoolWatermarks.
    free : Out(array of range(largest count + 1)), pages
        Free pages per pool.
    lowest : Out(array of range(largest count + 1)), pages
        Fewest free pages per pool since all were free by reset or `active`.
    axi : Out(axi_signature)
        External memory; only with socket_memory="axi4".
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency: see SocketCommands and SocketReader. Throughput 1 word per clock for a copy and for a read at the same
    time. Reads and commands never wait for one another, except for the channels of external memory.

    Drop
    ----
    See SocketCommands; everything is counted.

    Reset
    -----
    A sweep of the page table; memory is not reset.

    Source
    ------
    Patent §IV, §X.A (SMC 758), F2 236, F7 758.
    """

    COUNTERS = SocketCommands.COUNTERS | SocketReader.COUNTERS

    def __init__(self, params):
        self._params, self.geometry = params, Geometry(params)
        g = self.geometry
        levels = data.ArrayLayout(range(max(g.counts) + 1), g.pools)
        super().__init__({
            "i_cmd": In(beat_signature()),
            "o_cmd": Out(beat_signature()),
            "o_scratch": Out(stream.Signature(ScratchRead)),
            "i_scratch": In(packet_signature(params.data_width)),
            "o_free": Out(stream.Signature(16)),
            "i_read": In(stream.Signature(SocketRead)),
            "o_data": Out(packet_signature(params.data_width)),
            "active": In(1, init=1), "low_watermark": In(4, init=4),
            "pool_status": Out(pool_status_layout(g)), "pools_ready": Out(1), "free": Out(levels),
            "lowest": Out(levels),
            **({"axi": Out(axi_signature(g))} if params.socket_memory == "axi4" else {}),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        g, params = self.geometry, self._params
        m.submodules.directory = directory = PageDirectory(g)
        m.submodules.commands = commands = SocketCommands(params, g)
        m.submodules.writer = writer = PageWriter(g, params.data_width)
        m.submodules.reader = reader = SocketReader(params, g)
        m.submodules.watermarks = watermarks = PoolWatermarks(g)
        if params.socket_memory == "axi4":
            m.submodules.memory = memory = AxiMemory(g)
            wiring.connect(m, memory.axi, wiring.flipped(self.axi))
        else:
            m.submodules.memory = memory = OnchipMemory(g)
        for name in ("i_cmd", "o_cmd", "o_scratch", "o_free"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(commands, name))
        for name in ("i_read", "o_data"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(reader, name))
        wiring.connect(m, wiring.flipped(self.i_scratch), writer.i_scratch)
        wiring.connect(m, commands.o_write, writer.i)
        wiring.connect(m, writer.bus, memory.w)
        wiring.connect(m, reader.bus, memory.r)
        self._connect_directory(m, directory, commands, writer, reader)

        was_active, flush = Signal(), Signal()
        m.d.sync += was_active.eq(self.active)
        m.d.comb += [
            flush.eq(was_active & ~self.active), directory.flush.eq(flush), reader.flush.eq(flush),
            commands.written.eq(writer.done), commands.result.eq(writer.result), commands.active.eq(self.active),
            watermarks.free.eq(directory.free), watermarks.low_watermark.eq(self.low_watermark),
            watermarks.clear.eq(directory.sweeping),
            self.pool_status.eq(watermarks.pool_status), self.pools_ready.eq(watermarks.pools_ready),
            self.free.eq(directory.free), self.lowest.eq(watermarks.lowest),
            self.count.eq(Cat(commands.count, reader.count)),
        ]
        return m

    def _connect_directory(self, m, directory, commands, writer, reader):
        """Connect commands, writer and reader to the page directory.

        The writer asks only while the commands wait for it, so the directory never has two requests.
        """
        asks = Signal()
        m.d.comb += [
            asks.eq(writer.o_page.valid),
            directory.i.valid.eq(asks | commands.o_page.valid),
            directory.i.payload.eq(Mux(asks, writer.o_page.payload.as_value(), commands.o_page.payload.as_value())),
            commands.o_page.ready.eq(directory.i.ready & ~asks), writer.o_page.ready.eq(directory.i.ready),
            writer.answer.eq(directory.answer), writer.verdict.eq(directory.verdict),
            writer.granule.eq(directory.granule),
            reader.l_hit.eq(directory.l_hit), reader.l_granule.eq(directory.l_granule),
            *(getattr(directory, name).eq(getattr(reader, name)) for name in ("l_ring", "l_pool", "l_offset")),
            *(getattr(reader, name).eq(getattr(directory, name)) for name in ("freed", "freed_ring", "freed_page")),
        ]
