"""Event queue of a protocol core: which slots of the data memory hold complete events, and which may start."""
from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from .ports import EventPort, SlotPort, slot_meta

__all__ = ["EventSlots"]


class EventSlots(wiring.Component):
    """Ring of slots, filled in order by the bus interface and emptied in order by the core.

    An event whose `load` is set waits for one completed LOAD of its workspace, which may come before or after it. Any
    other event of a flow waits only while a LOAD is under way, and an event without flow never waits. A trap leaves a
    workspace half changed: until it is loaded again, the events for it are void.

    Parameters
    ----------
    params : SppsParams
        event_slots, workspaces.

    Members
    -------
    fill : In(SlotPort)
        The tail.
    core : Out(EventPort)
        The head.
    load_start, load_done : In(workspaces)
        One bit per workspace: a LOAD or CLEAR of it begins, has ended.

    Timing
    ------
    An event may start two clocks after its commit. `fill.full` while no slot is free.

    Reset
    -----
    Empty.

    Source
    ------
    Patent §III.E ("PPCs will typically have a queue for incoming events, and workspaces for several different flows").
    """

    def __init__(self, params):
        self._params = params
        super().__init__({
            "fill": In(SlotPort(params)), "core": Out(EventPort(params)),
            "load_start": In(params.workspaces), "load_done": In(params.workspaces),
        })

    def elaborate(self, platform):
        m = Module()
        params, fill, core = self._params, self.fill, self.core
        m.submodules.store = store = memory.Memory(shape=slot_meta(params), depth=params.event_slots, init=[])
        write, read = store.write_port(), store.read_port(domain="comb")
        level = Signal(range(params.event_slots + 1))
        loading, loaded = Signal(params.workspaces), Signal(params.workspaces)
        m.d.comb += [
            write.addr.eq(fill.tail), write.data.eq(fill.meta), write.en.eq(fill.commit),
            read.addr.eq(core.slot), core.event.eq(read.data),
            fill.full.eq(level == params.event_slots),
        ]
        m.d.sync += level.eq(level + fill.commit - core.release)
        with m.If(fill.commit):
            m.d.sync += fill.tail.eq(fill.tail + 1)
        with m.If(core.release):
            m.d.sync += core.slot.eq(core.slot + 1)

        taken = Signal(params.workspaces)
        uses = core.take & ~core.event.noflow & core.event.load
        poisoned, trapped = Signal(params.workspaces), Signal(params.workspaces)
        m.d.comb += [
            taken.eq(uses << core.event.workspace),
            trapped.eq((core.trap & ~core.event.noflow) << core.event.workspace),
        ]
        m.d.sync += [
            loading.eq((loading & ~self.load_done) | self.load_start),
            loaded.eq((loaded & ~taken) | self.load_done),
            poisoned.eq((poisoned | trapped) & ~self.load_done),
            core.void.eq(~core.event.noflow & poisoned.bit_select(core.event.workspace, 1)),
            # `take` and `release` change the head: what was computed for the old one does not hold for the next
            core.start.eq((level != 0) & ~core.take & ~core.release & (core.event.noflow | (
                ~loading.bit_select(core.event.workspace, 1)
                & (loaded.bit_select(core.event.workspace, 1) | ~core.event.load)))),
        ]
        return m
