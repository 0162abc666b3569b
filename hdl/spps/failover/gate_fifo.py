"""Messages that wait for a confirmation."""
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["GateFifo"]


class GateFifo(wiring.Component):
    """FIFO of whole messages, each with a tag; the head leaves when `confirmed` has reached its tag (modulo 2^n).

    It holds no state of any flow, so its proof holds for every flow (tests/formal/test_ack_gate.py).
    Source: patent §X.B (an ACK follows the confirmed transfer of state); architecture rule "output gate".
    Parameters: depth: messages, a power of two; slot: longest message in beats, a power of two; width: bits of a beat;
        tag_width: bits of record numbers. At no time may tags be more than half the number space ahead of `confirmed`.
    Members:
        i: beats of messages, always taken. tag: sampled with the first beat of a message.
        confirmed: highest confirmed number; it never goes back.
        flush: drop messages at the head instead of sending them.
        o: beats. level, high_water: messages held.
    Latency: 4 clocks when nothing is held back. Throughput: one beat per clock, 2 clocks between messages.
    Backpressure: none on `i`. Drop: a message that begins while `depth` messages are held, one longer than `slot`, and
    flushed ones; whole, counted. Reset: empty.
    """

    COUNTERS = ("gate_full", "too_long", "gate_flushed")

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
            "level": Out(range(depth + 1)), "high_water": Out(range(depth + 1)), "count": Out(len(self.COUNTERS)),
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
                m.d.sync += [skip.eq(~last), self.count[0].eq(1)]
            with m.Elif((index == self.slot - 1) & ~last & ~skip):
                m.d.sync += self.count[1].eq(1)
        with m.If(self.stored):
            m.d.sync += self.write_slot.eq(self.write_slot + 1)

    def _read(self, m, beats, tags):
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
                    m.d.sync += self.count[2].eq(1)
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
