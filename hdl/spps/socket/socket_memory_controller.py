"""Socket memory controller: the buffers of all connections and the ordered chain of commands through them.

Source: patent §IV, §X.A (SMC 758), F2 236, F7 758.
"""
from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.message import ScratchRead, SocketRead, beat_signature
from ..layouts.packet import packet_signature
from .ring_memory import RingMemory
from .socket_commands import SocketCommands
from .socket_reader import SocketReader

__all__ = ["SocketMemoryController"]


class SocketMemoryController(wiring.Component):
    """Keeps one ring of `socket_bytes` per connection and direction; executes copies into it and serves reads from it.

    Parameters: params.
    Members:
        i_cmd: messages COPY, RELEASE, OUTPUT and SYNC, executed strictly in order.
        o_cmd: OUTPUT and SYNC, passed on when every earlier COPY is written.
        o_scratch, i_scratch: payload asked from the scratchpad, one answer per request.
        o_free: chains given back, each after its copy.
        i_read, o_data: reads of the output processor; one answer per request, `err` when refused.
        count: COUNTERS.
    Latency: see SocketCommands and SocketReader. Throughput: one word per clock for a copy and for a read at the same time.
    Backpressure: reads and commands never wait for one another.
    Drop: see SocketCommands and SocketReader; nothing is dropped uncounted. Reset: idle; memory is not reset.
    """

    COUNTERS = SocketCommands.COUNTERS + SocketReader.COUNTERS

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i_cmd": In(beat_signature()),
            "o_cmd": Out(beat_signature()),
            "o_scratch": Out(stream.Signature(ScratchRead)),
            "i_scratch": In(packet_signature(params.data_width)),
            "o_free": Out(stream.Signature(16)),
            "i_read": In(stream.Signature(SocketRead)),
            "o_data": Out(packet_signature(params.data_width)),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = memory = RingMemory(self._params)
        m.submodules.commands = commands = SocketCommands(self._params)
        m.submodules.reader = reader = SocketReader(self._params)
        for name in ("i_cmd", "o_cmd", "o_scratch", "i_scratch", "o_free"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(commands, name))
        for name in ("i_read", "o_data"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(reader, name))
        m.d.comb += [getattr(memory, name).eq(getattr(commands, name))
                     for name in ("w_en", "w_ring", "w_offset", "w_bytes", "w_data")]
        m.d.comb += [getattr(memory, name).eq(getattr(reader, name)) for name in ("r_en", "r_ring", "r_offset")]
        m.d.comb += reader.r_data.eq(memory.r_data)
        m.d.comb += self.count.eq(Cat(commands.count, reader.count))
        return m
