"""Second stage of the output processor: which outputs leave in order, and which may pass them.

Source: patent §IV (buffers reserved for control segments); architecture rule "ACK rule" (order within a connection).
"""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from .frame import (
    CONTROL_BUFFERS,
    ORDERED_OUTPUTS,
    STORE_SLOTS,
    OutputIdentity,
    OutputQueue,
    OutputRequest,
)

__all__ = ["OutputQueues"]


class OutputQueues(wiring.Component):
    """Puts every request into one of two queues and hands out the slots of the store.

    ORDERED: outputs with payload, and those without that have the identity of one that waits there. CONTROL: all
    others. A control output may leave before older ordered ones, because none of them has its identity, nor will have.
    An ordered output may not leave before an older control output (`control_older`), so that order within an identity
    is kept both ways.

    Members
    -------
    i : In(stream of OutputRequest)
        Request whose slot is full.
    slot : Out(range(STORE_SLOTS))
        Where the receiver writes.
    ordered : Out(1)
        The ordered queue is not empty.
    complete : Out(1)
        Nothing has to be fetched for the ordered head.
    pop_ordered : In(1)
        The ordered head has left its slot.
    control : Out(1)
        The control queue is not empty.
    control_older : Out(1)
        The control head came before the ordered head.
    pop_control : In(1)
        The control head has left its slot.
    fetch : Out(1)
        An ordered output has not been fetched.
    fetched : In(1)
        The oldest such is now.
    r_queue : In(OutputQueue)
        Whose slot is wanted.
    r_slot : Out(range(STORE_SLOTS))
        That slot, in the same clock.

    Timing
    ------
    Latency 1 clock. Throughput 1 request per clock; one without payload waits 1 clock more per ordered output. `i`
    waits while its queue is full (ORDERED_OUTPUTS, CONTROL_BUFFERS).

    Drop
    ----
    None.

    Reset
    -----
    Empty; slots keep their owners.

    Source
    ------
    Patent §IV (buffers reserved for control segments); architecture rule "ACK rule" (order within a connection).
    """

    def __init__(self):
        super().__init__({
            "i": In(stream.Signature(OutputRequest)),
            "slot": Out(range(STORE_SLOTS)),
            "ordered": Out(1), "complete": Out(1), "pop_ordered": In(1),
            "control": Out(1), "control_older": Out(1), "pop_control": In(1),
            "fetch": Out(1), "fetched": In(1),
            "r_queue": In(OutputQueue), "r_slot": Out(range(STORE_SLOTS)),
        })

    def elaborate(self, platform):
        m = Module()
        ordered_bits, control_bits = exact_log2(ORDERED_OUTPUTS), exact_log2(CONTROL_BUFFERS)
        # one bit more than a position, so that full and empty differ
        tail, head, fetch = Signal(ordered_bits + 1), Signal(ordered_bits + 1), Signal(ordered_bits + 1)
        control_tail, control_head = Signal(control_bits + 1), Signal(control_bits + 1)

        # every position owns a slot and the receiver one more; an output that is put into a position swaps the two
        m.submodules.slots = slots = Memory(shape=range(STORE_SLOTS), depth=ORDERED_OUTPUTS + CONTROL_BUFFERS,
                                            init=range(STORE_SLOTS - 1))
        m.submodules.identities = identities = Memory(shape=OutputIdentity, depth=ORDERED_OUTPUTS, init=[])
        # of a control output: `tail` when it came. Nothing behind that leaves before it does: equal to `head` it is the
        # older one
        m.submodules.ages = ages = Memory(shape=ordered_bits + 1, depth=CONTROL_BUFFERS, init=[])
        swap, owned, read = slots.write_port(), slots.read_port(domain="comb"), slots.read_port(domain="comb")
        known, other = identities.write_port(), identities.read_port(domain="comb")
        came, age = ages.write_port(), ages.read_port(domain="comb")
        # not reset: memory keeps the other slots through a reset
        spare = Signal(range(STORE_SLOTS), init=STORE_SLOTS - 1, reset_less=True)

        # is there an ordered output of this identity? One that leaves during the search may still be found
        request = self.i.payload
        looked, same, searched = Signal.like(tail), Signal(), Signal()
        m.d.comb += [other.addr.eq(looked[:-1]), searched.eq(looked == tail)]
        with m.If(~self.i.valid | self.i.ready):
            m.d.sync += [looked.eq(head), same.eq(0)]
        with m.Elif(~searched):
            m.d.sync += [looked.eq(looked + 1), same.eq(same | (other.data == request.identity))]

        level, control_level = Signal.like(tail), Signal.like(control_tail)
        in_order, decided, room, put = Signal(), Signal(), Signal(), Signal()
        position = Signal(range(ORDERED_OUTPUTS + CONTROL_BUFFERS))
        m.d.comb += [
            # the search goes on for an ARP reply that waits for room, but does not count
            in_order.eq(request.payload | (same & ~request.arp)),
            decided.eq(in_order | request.arp | searched),
            level.eq(tail - head),
            control_level.eq(control_tail - control_head),
            room.eq(Mux(in_order, level != ORDERED_OUTPUTS, control_level != CONTROL_BUFFERS)),
            self.i.ready.eq(decided & room),
            put.eq(self.i.valid & self.i.ready),
            position.eq(Mux(in_order, tail[:-1], ORDERED_OUTPUTS + control_tail[:-1])),
            owned.addr.eq(position), swap.addr.eq(position), swap.data.eq(spare), swap.en.eq(put),
            known.addr.eq(tail[:-1]), known.data.eq(request.identity), known.en.eq(put & in_order),
            came.addr.eq(control_tail[:-1]), came.data.eq(tail), came.en.eq(put & ~in_order),
            self.slot.eq(spare),
        ]
        with m.If(put):
            m.d.sync += spare.eq(owned.data)
        m.d.sync += [
            tail.eq(tail + (put & in_order)),
            control_tail.eq(control_tail + (put & ~in_order)),
            head.eq(head + self.pop_ordered),
            control_head.eq(control_head + self.pop_control),
            fetch.eq(fetch + self.fetched),
        ]

        m.d.comb += [
            self.ordered.eq(tail != head),
            self.complete.eq(fetch != head),
            self.control.eq(control_tail != control_head),
            age.addr.eq(control_head[:-1]),
            self.control_older.eq(age.data == head),
            self.fetch.eq(fetch != tail),
            self.r_slot.eq(read.data),
        ]
        with m.Switch(self.r_queue):
            with m.Case(OutputQueue.ORDERED):
                m.d.comb += read.addr.eq(head[:-1])
            with m.Case(OutputQueue.CONTROL):
                m.d.comb += read.addr.eq(ORDERED_OUTPUTS + control_head[:-1])
            with m.Default():
                m.d.comb += read.addr.eq(fetch[:-1])
        return m
