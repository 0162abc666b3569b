"""The queue in which events wait for the lookup controller."""
from amaranth.hdl import Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import Event
from ..lib.counters import Counters

__all__ = ["EventQueue", "ROW_BITS"]

ROW_BITS = 128      # four block RAMs of an ECP5 hold 128 events
_ROWS = Event.as_shape().size // ROW_BITS


class EventQueue(wiring.Component):
    """FIFO of events in block RAM.

    An event is stored as four rows of 128 bits: one row of 512 bits would take fifteen block RAMs of an ECP5 and leave
    most of each unused.

    Parameters
    ----------
    params : SppsParams
        Uses event_queue, the depth in events.

    Members
    -------
    i : In(stream of Event)
        Events of the message splitter.
    o : Out(stream of Event)
        The same events in the same order.
    level : Out(range(event_queue + 1)), events
        Events taken at `i` and not yet taken at `o`.
    high_water : Out(range(event_queue + 1)), events
        Largest level since reset.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    An event is at `o` 11 clocks after it came to `i` of an empty queue. Throughput: one event per 4 clocks in, one per
    6 clocks out.
    `i` waits while `level` is the depth. `o.ready` does not reach `i.ready` combinationally.

    Drop
    ----
    None.

    Reset
    -----
    Empty. The memory is not reset: a row is read only after it was written.

    Source
    ------
    Patent §III, F2 212.
    """

    COUNTERS = Counters({"overflow_stall": "waits of the event queue's input because the queue was full"})

    def __init__(self, params):
        self.params = params
        depth = params.event_queue
        super().__init__({
            "i": In(stream.Signature(Event)),
            "o": Out(stream.Signature(Event)),
            "level": Out(range(depth + 1)),
            "high_water": Out(range(depth + 1)),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        depth = self.params.event_queue
        m.submodules.rows = rows = memory.Memory(shape=ROW_BITS, depth=depth * _ROWS, init=[], attrs={"no_rw_check": 1})
        write, read = rows.write_port(), rows.read_port(domain="sync")

        # write side: the payload stays at i until its last row is stored
        put = Signal(range(depth * _ROWS))
        full = Signal()
        m.d.comb += full.eq(self.level == depth)
        part = put[:2]
        last_row = Signal()
        m.d.comb += [
            last_row.eq(part == _ROWS - 1),
            self.i.ready.eq(last_row & ~full),
            write.addr.eq(put),
            write.data.eq(self.i.payload.as_value().word_select(part, ROW_BITS)),
            write.en.eq(self.i.valid & ~full),
        ]
        with m.If(write.en):
            m.d.sync += put.eq(put + 1)
        stored = Signal()       # one clock after the last row: it may be read from now on
        m.d.sync += stored.eq(write.en & last_row)

        # read side: rows go one by one into the output register
        taken = self.o.valid & self.o.ready
        get = Signal(range(depth * _ROWS))
        available = Signal(range(depth + 1))    # stored and not yet fetched
        fetch = Signal(range(_ROWS + 1))        # rows still to be asked for
        arriving = Signal()
        filled = Signal(data.ArrayLayout(ROW_BITS, _ROWS))
        slot = Signal(range(_ROWS))
        m.d.comb += [read.addr.eq(get), read.en.eq(1), self.o.payload.as_value().eq(filled)]
        start = Signal()
        m.d.comb += start.eq((available != 0) & (fetch == 0) & ~arriving & (~self.o.valid | self.o.ready))
        m.d.sync += [available.eq(available + stored - start), arriving.eq(fetch != 0)]
        with m.If(start):
            m.d.sync += fetch.eq(_ROWS)
        with m.If(fetch != 0):
            m.d.sync += [fetch.eq(fetch - 1), get.eq(get + 1)]
        with m.If(taken):
            m.d.sync += self.o.valid.eq(0)
        with m.If(arriving):
            m.d.sync += [filled[slot].eq(read.data), slot.eq(slot + 1)]
            with m.If(slot == _ROWS - 1):
                m.d.sync += self.o.valid.eq(1)

        m.d.sync += self.level.eq(self.level + (write.en & last_row) - taken)
        with m.If(self.level > self.high_water):
            m.d.sync += self.high_water.eq(self.level)
        stalled = Signal()
        m.d.sync += [stalled.eq(self.i.valid & full), self.count.overflow_stall.eq(self.i.valid & full & ~stalled)]
        return m
