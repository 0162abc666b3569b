"""One protocol core as it stands in a cluster, with its own memories and nothing else: the unit of measurement of `synth --block core`."""
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In
from spps.cluster import DataMemory, InstructionMemory, ProtocolCore
from spps.layouts.register import InstructionWrite

__all__ = ["CoreAlone"]

#: members of the core that lead to its memories
_INSIDE = frozenset({"address", "fetch", "word", "fetch_ready", "memory_address", "memory_read", "memory_write", "memory_write_data",
                     "memory_read_data", "uses_read", "uses_write"})
#: members that only traces in simulation look at
_TRACE = frozenset({"retire", "retire_pc", "write", "write_register", "write_value"})


class CoreAlone(wiring.Component):
    """ProtocolCore, DataMemory and InstructionMemory for one core.

    EventSlots, DirtyLines and CsrFile belong to the cluster and are not in it; their side of the core are ports here.
    Parameters: params, of which cores counts as 1.
    Members: i_imem live load; those of ProtocolCore that do not lead to a memory and are not for traces; the cluster side of DataMemory.
    """

    def __init__(self, params):
        self.params = params.replace(cores=1, clusters=1)
        self._core, self._store = ProtocolCore(self.params), DataMemory(self.params)
        self._outer = [(self._core, name, member) for name, member in self._core.signature.members.items() if name not in _INSIDE | _TRACE]
        self._outer += [(self._store, name, member) for name, member in self._store.signature.members.items()
                        if name.startswith("beat_")]
        super().__init__({"i_imem": In(stream.Signature(InstructionWrite))} | {name: member for _, name, member in self._outer})

    def elaborate(self, platform):
        m = Module()
        m.submodules.core, m.submodules.data = core, store = self._core, self._store
        m.submodules.program = program = InstructionMemory(self.params)
        wiring.connect(m, program.i, wiring.flipped(self.i_imem))
        for block, name, member in self._outer:
            inner, outer = getattr(block, name), getattr(self, name)
            if member.is_port:
                m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
            else:
                wiring.connect(m, inner, wiring.flipped(outer))
        m.d.comb += [
            program.address[0].eq(core.address), program.fetch[0].eq(core.fetch),
            core.word.eq(program.word[0]), core.fetch_ready.eq(program.ready[0]),
            store.uses_read.eq(core.uses_read), store.uses_write.eq(core.uses_write),
            store.address.eq(core.memory_address), store.read.eq(core.memory_read),
            store.write.eq(core.memory_write), store.write_data.eq(core.memory_write_data),
            core.memory_read_data.eq(store.read_data),
        ]
        return m
