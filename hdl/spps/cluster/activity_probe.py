"""Taps for traces: combinational, without a register, and removed by synthesis where nobody looks."""
from amaranth.hdl import Mux

__all__ = ["probe_beats", "probe_core"]


def probe_beats(m, to, stream):
    """Connect a message stream to a layouts.activity.BeatActivity."""
    moves = stream.valid & stream.ready
    m.d.comb += [to.valid.eq(moves), to.last.eq(moves & stream.p.last), to.data.eq(Mux(moves, stream.p.data, 0))]


def probe_core(m, to, core, slots):
    """Connect a ProtocolCore and its EventSlots to a layouts.activity.CoreActivity."""
    trace, head, fill, memory = core.trace, core.events, slots.fill, core.memory
    trapped = core.count.traps
    m.d.comb += [
        to.commit.eq(fill.commit), to.commit_slot.eq(Mux(fill.commit, fill.tail, 0)),
        to.start.eq(head.take), to.slot.eq(Mux(head.take, head.slot, 0)),
        to.workspace.eq(Mux(head.take, head.event.workspace, 0)), to.leg.eq(head.take & head.event.leg),
        to.retire.eq(trace.retire), to.trap.eq(trapped), to.pc.eq(Mux(trace.retire | trapped, trace.pc, 0)),
        to.store.eq(memory.write), to.address.eq(Mux(memory.write, memory.address, 0)),
        to.value.eq(Mux(memory.write, memory.write_data, 0)),
        to.write.eq(trace.write), to.register.eq(Mux(trace.write, trace.register, 0)),
        to.result.eq(Mux(trace.write, trace.result, 0)),
    ]
