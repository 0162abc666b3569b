"""Taps for traces: combinational, without a register, and gone where nobody looks."""
from amaranth.hdl import Mux

__all__ = ["probe_beats", "probe_core"]


def probe_beats(m, to, stream):
    """A message stream -> layouts.activity.BeatActivity."""
    moves = stream.valid & stream.ready
    m.d.comb += [to.valid.eq(moves), to.last.eq(moves & stream.p.last), to.data.eq(Mux(moves, stream.p.data, 0))]


def probe_core(m, to, core, slots):
    """A core and its slots -> layouts.activity.CoreActivity."""
    ran = core.retire | core.trapped
    m.d.comb += [
        to.commit.eq(slots.commit), to.commit_slot.eq(Mux(slots.commit, slots.tail, 0)),
        to.start.eq(core.take), to.slot.eq(Mux(core.take, slots.head_slot, 0)),
        to.workspace.eq(Mux(core.take, slots.head.workspace, 0)), to.leg.eq(core.take & slots.head.leg),
        to.retire.eq(core.retire), to.trap.eq(core.trapped), to.pc.eq(Mux(ran, core.retire_pc, 0)),
        to.store.eq(core.memory_write), to.address.eq(Mux(core.memory_write, core.memory_address, 0)),
        to.value.eq(Mux(core.memory_write, core.memory_write_data, 0)),
        to.write.eq(core.write), to.register.eq(Mux(core.write, core.write_register, 0)),
        to.result.eq(Mux(core.write, core.write_value, 0)),
    ]
