"""Messages that wait for a confirmation."""
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..lib import Counters

__all__ = ["GateFifo"]


class GateFifo(wiring.Component):
    """FIFO of whole messages, each with a tag; the oldest leaves when `confirmed` has reached its tag.

    Tags are record numbers modulo 2^tag_width.
    It holds no state of any flow, so its proof holds for every flow (tests/formal/test_ack_gate.py).

    Parameters
    ----------
    depth : int
        Messages, a power of two from 2.
    slot : int
        Longest message in beats, a power of two from 2.
    width : int
        Bits of a beat.
    tag_width : int
        Bits of a record number. A tag must never be more than half the number space ahead of `confirmed`.

    Members
    -------
    i : In(stream of beats, always ready)
        Messages.
    tag : In(tag_width), record number
        Sampled with the first beat of a message.
    confirmed : In(tag_width), record number
        The last record confirmed; it must not go back.
    flush : In(1)
        1: messages are dropped instead of sent.
    o : Out(stream of beats)
        Messages.
    level, high_water : Out(range(depth + 1)), messages
        Messages held, and the most since reset.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency 4 clocks for a message that is confirmed. Throughput 1 beat per clock and 2 clocks between messages.
    `i` never waits.

    Drop
    ----
    Messages that begin while `depth` messages are held, messages longer than `slot`, flushed messages; whole, counted.

    Reset
    -----
    Empty.

    Source
    ------
    Patent §X.B (an ACK follows the confirmed transfer of state); architecture rule "output gate".
    """

    COUNTERS = Counters({
        "gate_full": "gated outputs dropped because the gate is full",
        "too_long": "gated outputs dropped because they are longer than a slot of the gate",
        "gate_flushed": "gated outputs dropped because this unit is not active",
    })

    def __init__(self, *, depth, slot, width, tag_width):
        for name, value in (("depth", depth), ("slot", slot)):
            if value < 2 or value & (value - 1):
                raise ValueError(f"{name}={value!r}: must be a power of two from 2")
        self.depth, self.slot, self.width, self.tag_width = depth, slot, width, tag_width
        self.beat = data.StructLayout({"data": width, "last": 1})
        super().__init__({
            "i": In(stream.Signature(self.beat, always_ready=True)), "tag": In(tag_width),
            "confirmed": In(tag_width), "flush": In(1),
            "o": Out(stream.Signature(self.beat)),
            "level": Out(range(depth + 1)), "high_water": Out(range(depth + 1)), "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        attrs = {"no_rw_check": 1}      # an entry is read only after its last beat was written
        m.submodules.beats = beats = memory.Memory(shape=self.beat, depth=self.depth * self.slot, init=[], attrs=attrs)
        m.submodules.tags = tags = memory.Memory(shape=self.tag_width, depth=self.depth, init=[], attrs=attrs)
        self.write_slot = Signal(range(self.depth))
        self.stored, self.removed = Signal(), Signal()
        m.d.sync += self.count.eq(0)
        self._write(m, beats.write_port(), tags.write_port())
        self._read(m, beats.read_port(), tags.read_port())
        level = Signal.like(self.level)
        m.d.comb += level.eq(self.level + self.stored - self.removed)
        m.d.sync += self.level.eq(level)
        with m.If(level > self.high_water):
            m.d.sync += self.high_water.eq(level)
        return m

    def _write(self, m, beats, tags):
        """Write each message and its tag into a slot."""
        index = Signal(range(self.slot))
        first, skip = Signal(init=1), Signal()
        refuse, last = Signal(), self.i.payload.last
        m.d.comb += [
            refuse.eq(first & (self.level == self.depth)),
            beats.addr.eq(Cat(index, self.write_slot)), beats.data.eq(self.i.payload),
            beats.en.eq(self.i.valid & ~refuse & ~skip),
            tags.addr.eq(self.write_slot), tags.data.eq(self.tag), tags.en.eq(beats.en & first),
        ]
        with m.If(self.i.valid):
            m.d.sync += [first.eq(last), index.eq(index + 1)]
            with m.If(last):
                m.d.sync += [index.eq(0), skip.eq(0)]
                m.d.comb += self.stored.eq(~refuse & ~skip)
            with m.Elif(index == self.slot - 1):
                m.d.sync += skip.eq(1)
            with m.If(refuse):
                m.d.sync += [skip.eq(~last), self.count.gate_full.eq(1)]
            with m.Elif((index == self.slot - 1) & ~last & ~skip):
                m.d.sync += self.count.too_long.eq(1)
        with m.If(self.stored):
            m.d.sync += self.write_slot.eq(self.write_slot + 1)

    def _read(self, m, beats, tags):
        """Send the oldest message once `confirmed` has reached its tag."""
        index = Signal(range(self.slot))
        read_slot = Signal(range(self.depth))
        step, behind = Signal(), Signal(self.tag_width)
        m.d.comb += [
            step.eq(~self.o.valid | self.o.ready),
            tags.addr.eq(read_slot), tags.en.eq(1),
            beats.addr.eq(Cat(index, read_slot)), beats.en.eq(0),
            behind.eq(self.confirmed - tags.data),
        ]
        with m.If(step):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.removed):
            m.d.sync += read_slot.eq(read_slot + 1)
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += index.eq(0)
                with m.If(self.level != 0):
                    m.next = "HOLD"
            with m.State("HOLD"):
                m.d.comb += beats.en.eq(1)
                with m.If(self.flush):
                    m.d.comb += self.removed.eq(1)
                    m.d.sync += self.count.gate_flushed.eq(1)
                    m.next = "IDLE"
                with m.Elif(~behind[-1]):
                    m.d.sync += index.eq(1)
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += beats.en.eq(step)
                with m.If(step):
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(beats.data), index.eq(index + 1)]
                    with m.If(beats.data.last):
                        m.d.comb += self.removed.eq(1)
                        m.next = "IDLE"
