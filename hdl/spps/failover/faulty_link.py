"""A sync link that loses, repeats, delays and damages frames, for simulations."""
from amaranth.hdl import Array, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_layout, packet_signature
from ..lib import Counters
from .sync_frame import older

__all__ = ["FaultyLink", "LinkControl", "SHARES"]

#: faults that meet a share of the frames, in 256ths
SHARES = ("loss", "duplicate", "reorder", "corrupt", "truncate", "replay")
SLOTS = 8                   # frames on the link at once
FRAME_BYTES = 256           # the longest frame, see the README of failover
DUPLICATE_AFTER = 16        # and up to 127 clocks more
REORDER_AFTER = 128         # and up to 511 clocks more
REPLAY_AFTER = 4096         # and up to 4095 clocks more


class LinkControl(data.Struct):
    """What a FaultyLink does to its frames.

    enable: 0: it is a wire. cut: every frame is lost. silent: damage is not marked by `err`, as if the FCS of the
    frame were good. delay: clocks added to each frame. loss … replay: share of the frames, in 256ths. seed: of the
    random numbers, taken when `enable` rises.
    """

    enable: unsigned(1)
    cut: unsigned(1)
    silent: unsigned(1)
    delay: unsigned(16)
    loss: unsigned(8)
    duplicate: unsigned(8)
    reorder: unsigned(8)
    corrupt: unsigned(8)
    truncate: unsigned(8)
    replay: unsigned(8)
    seed: unsigned(32)


class _Slot(data.Struct):
    """A frame on the link.

    order: of arrival. due: clock in which it may leave. last, end: word that ends it when whole, and the one that does.
    flip, word, bit: one bit is inverted, and where. hurt: marked by `err`. sent: it has left once. copy, again: it is
    to leave again soon, late.
    """

    order: unsigned(16)
    due: unsigned(32)
    last: unsigned(8)
    end: unsigned(8)
    flip: unsigned(1)
    word: unsigned(8)
    bit: unsigned(7)
    hurt: unsigned(1)
    sent: unsigned(1)
    copy: unsigned(1)
    again: unsigned(1)


class FaultyLink(wiring.Component):
    """One direction of the sync link, a wire until it is told otherwise. It is part of simulated pairs only.

    Parameters
    ----------
    width : int
        Bits of a packet word.

    Members
    -------
    i, o : In(stream of packet), Out(stream of packet)
        Frames of up to 256 bytes; a longer one is cut off there and marked by `err`.
    control : In(LinkControl)
        May change in any clock; applies to frames whose last word comes later.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    As a wire: no latency. With faults: a frame is received whole, waits `delay` clocks, and leaves. Frames leave in the
    order in which they came, but for those that `reorder` or `replay` holds back: a reordered one waits 128 to 638
    clocks more, a copy 16 to 143 clocks, a replayed one 4,096 to 8,191 clocks after the frame itself. `i` waits while
    eight frames are on the link.

    Drop
    ----
    Lost frames, and copies that have not left when `enable` falls.

    Reset
    -----
    Empty.

    Source
    ------
    None: a test instrument.
    """

    COUNTERS = Counters({
        "link_lost": "frames lost on a faulty sync link",
        "link_duplicate": "frames that a faulty sync link delivers twice, soon or late",
        "link_reordered": "frames held back on a faulty sync link",
        "link_damaged": "frames with a wrong bit, or cut short, on a faulty sync link",
    })

    def __init__(self, width):
        self.width = width
        super().__init__({
            "i": In(packet_signature(width)), "o": Out(packet_signature(width)), "control": In(LinkControl),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        words = FRAME_BYTES * 8 // self.width
        m = Module()
        m.submodules.frames = frames = memory.Memory(shape=packet_layout(self.width), depth=SLOTS * words, init=[])
        self.write, self.read = frames.write_port(), frames.read_port(domain="comb")
        self.slots = Array(Signal(_Slot, name=f"slot_{n}") for n in range(SLOTS))
        self.used = Signal(SLOTS)
        self.now, self.order, self.random = Signal(32), Signal(16), Signal(64, init=1)
        self.faulty = faulty = Signal()
        inside, arriving = Signal(), Signal()       # between the first and the last word of a frame
        m.d.sync += [self.now.eq(self.now + 1), self.count.eq(0)]
        m.d.comb += arriving.eq(self.i.valid & self.i.ready)
        with m.If(arriving):
            m.d.sync += inside.eq(~self.i.payload.last)
        with m.If(~faulty):
            m.d.comb += [self.o.payload.eq(self.i.payload), self.o.valid.eq(self.i.valid),
                         self.i.ready.eq(self.o.ready)]
            with m.If(self.control.enable & ~inside & ~self.i.valid):
                m.d.sync += faulty.eq(1)
        with m.Elif(~self.control.enable & ~self.used.any() & ~inside & ~self.i.valid):
            m.d.sync += faulty.eq(0)
        self._draw(m)
        self._receive(m, words, arriving & faulty)
        self._send(m, words)
        return m

    def _draw(self, m):
        """Random numbers: xorshift64, a step in each clock."""
        with m.If(~self.faulty):
            m.d.sync += self.random.eq(self.control.seed << 1 | 1)
        with m.Else():
            a = self.random ^ (self.random << 13)[:64]
            b = a ^ (a >> 7)
            m.d.sync += self.random.eq(b ^ (b << 17)[:64])

    def _receive(self, m, words, arriving):
        """Write a frame into the lowest free slot, and decide with its last word what happens to it."""
        control, count, random, write = self.control, self.count, self.random, self.write
        free, slot, started, at = Signal(range(SLOTS)), Signal(range(SLOTS)), Signal(), Signal(range(words + 1))
        for n in reversed(range(SLOTS)):
            with m.If(~self.used[n]):
                m.d.comb += free.eq(n)
        here, fits = Mux(started, slot, free), at < words
        with m.If(self.faulty):
            m.d.comb += self.i.ready.eq(started | ~self.used.all())
        m.d.comb += [write.addr.eq(here * words + at), write.data.eq(self.i.payload), write.en.eq(arriving & fits)]
        last, end, late, lost = Signal(8), Signal(8), Signal(), Signal()
        flip, cut_short = Signal(), Signal()
        share = {name: random[8 * n:8 * n + 8] < getattr(control, name) for n, name in enumerate(SHARES)}
        spot = random[48:56]
        m.d.comb += [
            last.eq(Mux(fits, at, words - 1)), cut_short.eq(share["truncate"] & (last != 0)), flip.eq(share["corrupt"]),
            end.eq(Mux(cut_short, (spot * last) >> 8, last)), late.eq(share["reorder"]),
            lost.eq(control.enable & (control.cut | share["loss"])),
        ]
        with m.If(arriving):
            m.d.sync += [started.eq(1), slot.eq(here)]
            with m.If(fits):
                m.d.sync += at.eq(at + 1)
        with m.If(arriving & self.i.payload.last):
            m.d.sync += [started.eq(0), at.eq(0), self.order.eq(self.order + 1), count.link_lost.eq(lost)]
            with m.If(~lost):
                held = Mux(late, REORDER_AFTER + random[56:64] + random[40:48], 0)
                m.d.sync += [
                    self.used.bit_select(here, 1).eq(1), count.link_reordered.eq(late & control.enable),
                    count.link_damaged.eq((flip | cut_short) & control.enable),
                    self.slots[here].eq(data.StructLayout.cast(_Slot).const({})),
                    self.slots[here].order.eq(self.order), self.slots[here].last.eq(last),
                    self.slots[here].due.eq(self.now), self.slots[here].end.eq(last), self.slots[here].hurt.eq(~fits),
                ]
                with m.If(control.enable):
                    m.d.sync += [
                        self.slots[here].due.eq(self.now + control.delay + held), self.slots[here].end.eq(end),
                        self.slots[here].flip.eq(flip), self.slots[here].word.eq((random[56:64] * (end + 1)) >> 8),
                        self.slots[here].bit.eq(random[32:39] % self.width),
                        self.slots[here].hurt.eq(~fits | (flip | cut_short) & ~control.silent),
                        self.slots[here].copy.eq(share["duplicate"]), self.slots[here].again.eq(share["replay"]),
                    ]

    def _send(self, m, words):
        """Send the frame that is due and came first; keep it if it is to leave again."""
        chosen, busy, at = Signal(range(SLOTS)), Signal(), Signal(range(words))
        pick, first, found = Const(0, range(SLOTS)), Const(0, 16), Const(0, 1)
        for n in range(SLOTS):
            due, better = Signal(name=f"due_{n}"), Signal(name=f"better_{n}")
            m.d.comb += [due.eq(self.used[n] & ~older(self.now, self.slots[n].due)),
                         better.eq(due & (~found | older(self.slots[n].order, first)))]
            pick, first, found = Mux(better, n, pick), Mux(better, self.slots[n].order, first), found | due
        slot, word = self.slots[chosen], self.read.data
        final = at == slot.end
        m.d.comb += self.read.addr.eq(chosen * words + at)
        with m.If(self.faulty):
            m.d.comb += [
                self.o.valid.eq(busy), self.o.payload.eq(word), self.o.payload.last.eq(final),
                self.o.payload.empty.eq(Mux(at == slot.last, word.empty, 0)),
                self.o.payload.err.eq(final & (slot.hurt | (at == slot.last) & word.err)),
                self.o.payload.data.eq(word.data ^ ((slot.flip & (at == slot.word)) << slot.bit)),
            ]
        with m.If(self.faulty & ~busy & found):
            m.d.sync += [busy.eq(1), chosen.eq(pick), at.eq(0)]
        with m.If(busy & self.o.ready):
            m.d.sync += at.eq(at + 1)
            with m.If(final):
                m.d.sync += [busy.eq(0), self.used.bit_select(chosen, 1).eq(slot.copy | slot.again), slot.sent.eq(1),
                             slot.copy.eq(0), slot.again.eq(slot.again & slot.copy), slot.order.eq(self.order),
                             self.count.link_duplicate.eq(slot.copy | slot.again)]
                soon, late = DUPLICATE_AFTER + self.random[0:7], REPLAY_AFTER + self.random[0:12]
                m.d.sync += slot.due.eq(self.now + Mux(slot.copy, soon, late))
        with m.If(~self.control.enable):
            for n in range(SLOTS):
                with m.If(self.slots[n].sent & ~(busy & (chosen == n))):
                    m.d.sync += self.used[n].eq(0)
