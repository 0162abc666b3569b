"""One protocol core with its own memories and nothing else: what `spps synth --block core` measures."""
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false
# Amaranth makes the members of a component, and the shape of a Struct, at run time.
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from spps.cluster import DataMemory, InstructionMemory, ProtocolCore
from spps.layouts.register import InstructionWrite

__all__ = ["CoreAlone"]

#: members of the core that lead to its memories, are read by traces only, or are driven by the cluster for all cores
_INSIDE = frozenset({"program", "memory", "trace", "configured", "stuck"})


class CoreAlone(wiring.Component):
    """ProtocolCore with the DataMemory and the InstructionMemory of one core.

    EventSlots, DirtyLines and CsrFile belong to the cluster and are left out; the members of the core that lead to them
    are ports.

    Parameters
    ----------
    params : SppsParams
        Sizes; cores and clusters count as 1.

    Members
    -------
    i_imem : In(stream of InstructionWrite)
        Live load of the program.
    beats : In(BeatPort)
        The DMA's side of DataMemory.
    others : as in ProtocolCore
        The members that lead to no memory, are for no trace and are not set by the cluster for all cores.
    """

    def __init__(self, params):
        self.params = params.replace(cores=1, clusters=1)
        self._core, self._store = ProtocolCore(self.params), DataMemory(self.params)
        self._outer = [(self._core, name, member) for name, member in self._core.signature.members.items()
                       if name not in _INSIDE]
        self._outer.append((self._store, "beats", self._store.signature.members["beats"]))
        super().__init__({"i_imem": In(stream.Signature(InstructionWrite)),
                          **{name: member for _, name, member in self._outer}})

    def elaborate(self, platform):
        """Connect core and memories, and every outer member to its port."""
        m = Module()
        m.submodules.core, m.submodules.data = core, store = self._core, self._store
        m.submodules.program = program = InstructionMemory(self.params)
        wiring.connect(m, program.i, wiring.flipped(self.i_imem))
        wiring.connect(m, core.program, program.core[0])
        wiring.connect(m, core.memory, store.core)
        for block, name, member in self._outer:
            inner, outer = getattr(block, name), getattr(self, name)
            if member.is_port:
                m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
            else:
                wiring.connect(m, inner, wiring.flipped(outer))
        m.d.comb += core.configured.eq(1)
        return m
