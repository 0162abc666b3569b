"""Event queue of a protocol core: which slots of the data memory hold complete events, and which may start."""
from amaranth.hdl import Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["EventSlots", "slot_meta"]


def slot_meta(params):
    """What the core has to know of an event before it reads it."""
    return data.StructLayout({
        "conn": 16, "leg": 1, "noflow": 1, "load": 1, "workspace": (params.workspaces - 1).bit_length(),
        "payload": 1, "ref": 16,    # it has a chain in the scratchpad
    })


class EventSlots(wiring.Component):
    """Ring of params.event_slots slots, filled in order by the bus interface and emptied in order by the core.

    Source: patent §III.E ("PPCs will typically have a queue for incoming events, and workspaces for several different
    flows").
    Members: meta, commit (the slot `tail` is complete, and this is its description), full;
    load_start, load_done: one bit per workspace; start (the head may run), head, head_slot; release (the core is done
    with the head); trap (the head has trapped); void, with start: the head is not to be run but answered.
    An event whose `load` is set waits for one completed LOAD of its workspace, which may come before or after it; any
    other event of a flow waits only while a LOAD is under way. An event without flow never waits.
    A trap leaves a workspace half changed: until it is loaded again, the events for it are void.
    Latency: an event may start two clocks after commit. Backpressure: full. Reset: empty.
    """

    def __init__(self, params):
        self._params = params
        meta = slot_meta(params)
        slot = (params.event_slots - 1).bit_length()
        super().__init__({
            "meta": In(meta), "commit": In(1), "tail": Out(slot), "full": Out(1),
            "load_start": In(params.workspaces), "load_done": In(params.workspaces),
            "start": Out(1), "head": Out(meta), "head_slot": Out(slot), "take": In(1), "release": In(1),
            "trap": In(1), "void": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        params = self._params
        m.submodules.store = store = memory.Memory(shape=slot_meta(params), depth=params.event_slots, init=[])
        write, read = store.write_port(), store.read_port(domain="comb")
        level = Signal(range(params.event_slots + 1))
        loading, loaded = Signal(params.workspaces), Signal(params.workspaces)
        m.d.comb += [
            write.addr.eq(self.tail), write.data.eq(self.meta), write.en.eq(self.commit),
            read.addr.eq(self.head_slot), self.head.eq(read.data),
            self.full.eq(level == params.event_slots),
        ]
        m.d.sync += level.eq(level + self.commit - self.release)
        with m.If(self.commit):
            m.d.sync += self.tail.eq(self.tail + 1)
        with m.If(self.release):
            m.d.sync += self.head_slot.eq(self.head_slot + 1)

        taken = Signal(params.workspaces)
        uses = self.take & ~self.head.noflow & self.head.load
        poisoned, trapped = Signal(params.workspaces), Signal(params.workspaces)
        m.d.comb += [
            taken.eq(uses << self.head.workspace),
            trapped.eq((self.trap & ~self.head.noflow) << self.head.workspace),
        ]
        m.d.sync += [
            loading.eq((loading & ~self.load_done) | self.load_start),
            loaded.eq((loaded & ~taken) | self.load_done),
            poisoned.eq((poisoned | trapped) & ~self.load_done),
            self.void.eq(~self.head.noflow & poisoned.bit_select(self.head.workspace, 1)),
            # `take` and `release` change the head: what was computed for the old one does not hold for the next
            self.start.eq((level != 0) & ~self.take & ~self.release & (self.head.noflow | (
                ~loading.bit_select(self.head.workspace, 1)
                & (loaded.bit_select(self.head.workspace, 1) | ~self.head.load)))),
        ]
        return m
