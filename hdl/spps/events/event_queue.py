"""The queue in which events wait for the dispatcher."""
from amaranth.hdl import Module, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import Event

__all__ = ["EventQueue", "ROW_BITS"]

ROW_BITS = 128      # four block RAMs of an ECP5 hold 128 events
_ROWS = Event.as_shape().size // ROW_BITS


class EventQueue(wiring.Component):
    """FIFO of params.event_queue events in block RAM.

    An event is stored as four rows of 128 bits, because a 512-bit wide memory of this depth would waste most of fifteen
    block RAMs. Source: patent §III, F2 212.

    Parameters: params.
    Members: i, o: stream(Event); level: events inside; high_water: largest level since reset; count: COUNTERS.
    Latency: 10 clocks through an empty queue. Throughput: one event per 4 clocks in, per 6 clocks out.
    Backpressure: i waits while level is the depth; each such wait is one overflow_stall.
    Drop: none. Reset: empty; the memory is not reset, rows are read only after they were written.
    """

    COUNTERS = ("overflow_stall",)

    def __init__(self, params):
        self.params = params
        depth = params.event_queue
        super().__init__({
            "i": In(stream.Signature(Event)),
            "o": Out(stream.Signature(Event)),
            "level": Out(range(depth + 1)),
            "high_water": Out(range(depth + 1)),
            "count": Out(unsigned(1)),
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
        m.d.sync += [stalled.eq(self.i.valid & full), self.count.eq(self.i.valid & full & ~stalled)]
        return m
