"""Receives a whole sync frame and checks it before it has any effect."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.flowstate import DELTA_BEATS, DELTA_MASK, FULL_BEATS, FULL_MASK
from ..layouts.headers import EtherType
from ..layouts.message import BEAT
from ..layouts.record import SYNC_VERSION, RecordKind, SyncType
from ..lib import Counters
from .frame_guard import FrameGuard
from .sync_frame import (
    HEADER_FIELDS,
    HEADER_WORDS,
    KEY_BITS,
    KEY_SLOTS,
    SLOT_BEATS,
    STATION,
    WORD,
    SyncHeader,
    header_layout,
    header_word,
    swap_bytes,
    swap_words,
    word_signature,
)

__all__ = ["FrameReceiver"]


def _end(name):
    """Return the bytes up to the end of a field."""
    names = [field for field, _ in HEADER_FIELDS]
    return sum(size for _, size in HEADER_FIELDS[:names.index(name) + 1])


VERSION_WORD = (_end("version") - 1) * 8 // WORD
KEY_WORD = (_end("key") - 1) * 8 // WORD
KEY_BIT = -_end("key") * 8 % WORD
assert KEY_WORD == 1, "a word waits until the slot of the key is known: the first one"


class FrameReceiver(wiring.Component):
    """Holds a frame until it is complete, well formed and authentic, then offers it, and takes in the next meanwhile.

    Parameters
    ----------
    params : SppsParams
        `connections` limits the flow id.
    guard : FrameGuard, optional
        What checks the tag.

    Members
    -------
    i : In(stream of packet, 64 bits)
        Frames.
    o : Out(stream(SyncHeader))
        Headers of good frames. The lines stay readable while a header is offered.
    beat, read, lines : In(range(32)), In(1), Out(64)
        Address, enable and data of the lines, as flowstate beats; data comes one clock later.
    unit, active : In(1), In(1)
        Number and role of this unit.
    keys, accept, session : In(256), In(2), In(32)
        See `FrameGuard`.
    heard, loaded : Out(32), Out(2)
        Session of the peer in the last authentic frame; slots that have a key.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency 4 clocks from the last word to the offer when the tag comes as late as from `FrameSeal`; else the hash, a
    word in four clocks and 18 at the end, decides. Throughput the same; a frame with a delta takes about 63 clocks. `i`
    waits while the hash works, and while a frame is checked and the one before is still offered.

    Drop
    ----
    What is no frame of the peer that it has not taken before, whole, counted by the first reason that holds.

    Reset
    -----
    Empty.

    Source
    ------
    `layouts.record`; patent §X.B; hdl/spps/failover/README.md, "Authentication".
    """

    COUNTERS = Counters({
        "frame_in": "frames received on the sync link, whatever they hold",
        "bad_frame": "frames on the sync link with a link error, a wrong length or an undefined field value",
        "bad_version": "sync frames of another format version",
        "foreign_frame": "sync frames that are not from the station of the other unit to that of this one",
        "bad_key": "sync frames with a tag of a key slot that is not accepted",
        "bad_tag": "sync frames with a wrong tag: bent on the way, forged, or made with another key",
        "replayed": "sync frames whose serial is not above that of the last frame taken",
        "unheard": "authentic sync frames from before the other unit heard of this session of this one",
    })

    def __init__(self, params, guard=None):
        self.params = params
        self.guard = guard or FrameGuard()
        super().__init__({
            "i": In(word_signature()), "o": Out(stream.Signature(SyncHeader)),
            "beat": In(range(SLOT_BEATS)), "read": In(1), "lines": Out(BEAT),
            "unit": In(1), "active": In(1), "keys": In(KEY_SLOTS * KEY_BITS), "accept": In(KEY_SLOTS),
            "session": In(32), "heard": Out(32), "loaded": Out(KEY_SLOTS),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = memory.Memory(shape=BEAT, depth=2 * SLOT_BEATS, init=[],
                                                     attrs={"no_rw_check": 1})
        m.submodules.guard = guard = self.guard
        write, read = buffer.write_port(), buffer.read_port()
        header = Signal(header_layout())
        limit = HEADER_WORDS + SLOT_BEATS
        index = Signal(range(limit + 1))        # words taken; saturates
        slot = Signal()                         # half of the buffer of the frame that comes in
        take, err, good = Signal(), Signal(), Signal()
        word = self.i.payload
        tag = Signal(WORD)
        m.d.comb += [
            take.eq(self.i.valid & self.i.ready),
            write.addr.eq(Cat((index - HEADER_WORDS)[:5], slot)), write.data.eq(swap_words(word.data)),
            write.en.eq(take & (index >= HEADER_WORDS) & (index < limit)),
            read.addr.eq(Cat(self.beat, ~slot)), read.en.eq(self.read), self.lines.eq(read.data),
            guard.keys.eq(self.keys), guard.accept.eq(self.accept), guard.session.eq(self.session),
            guard.tag.eq(swap_bytes(tag)), guard.serial.eq(header.serial), guard.heard.eq(header.heard),
            self.heard.eq(guard.peer_session), self.loaded.eq(guard.loaded),
        ]
        self._check(m, header, index, good)
        full, settled = self._feed(m, header, index, take)
        m.d.sync += self.count.eq(0)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += self.i.ready.eq(~full | guard.i.valid & guard.i.ready)
                with m.If(take):
                    with m.Switch(index):
                        for k in range(HEADER_WORDS):
                            with m.Case(k):
                                m.d.sync += header_word(header, k).eq(word.data)
                    with m.If(index != limit):
                        m.d.sync += index.eq(index + 1)
                    with m.If(word.last):
                        m.d.sync += [tag.eq(word.data), err.eq(word.err | (word.empty != 0)), self.count.frame_in.eq(1)]
                        m.next = "CHECK"
            with m.State("CHECK"):
                m.next = "VERIFY"
                with m.If(err | ~good):
                    foreign = (header.ethertype == EtherType.SYNC) & (header.version != SYNC_VERSION)
                    with m.If(~err & foreign & (index > VERSION_WORD)):
                        m.d.sync += self.count.bad_version.eq(1)
                    with m.Else():
                        m.d.sync += self.count.bad_frame.eq(1)
                    self._next(m)
                with m.Elif(~self._addressed(header)):
                    m.d.sync += self.count.foreign_frame.eq(1)
                    self._next(m)
            with m.State("VERIFY"):
                with m.If(guard.done):
                    self._judge(m, header, slot)
        with m.If(guard.clear):
            m.d.sync += [index.eq(0), full.eq(0), settled.eq(0)]
        return m

    def _feed(self, m, header, index, take):
        """Hand words to the guard, one behind: the first one when the second says which key; the tag is left out.

        Returns whether a word waits, and whether the key is chosen.
        """
        guard, word = self.guard, self.i.payload
        held, full = Signal(WORD), Signal()
        chosen, settled, expected = Signal(), Signal(), Signal(range(HEADER_WORDS + 32))
        # `length` is there before it counts; that it is right is checked with the rest of the format
        m.d.comb += [
            expected.eq(HEADER_WORDS + header.length[3:8]),
            guard.i.valid.eq(full & settled), guard.i.payload.data.eq(swap_bytes(held)),
            guard.i.payload.last.eq(index == expected),
        ]
        with m.If(guard.i.valid & guard.i.ready):
            m.d.sync += full.eq(0)
        with m.If(take & ~word.last & (index < expected)):
            m.d.sync += [held.eq(word.data), full.eq(1)]
        with m.If(self.i.valid & (index == KEY_WORD) & ~chosen):
            m.d.sync += [guard.slot.eq(word.data[KEY_BIT]), chosen.eq(1)]
        m.d.sync += settled.eq(chosen)
        with m.If(guard.clear):
            m.d.sync += chosen.eq(0)
        return full, settled

    def _next(self, m):
        """Go on with the next frame."""
        m.d.comb += self.guard.clear.eq(1)
        m.next = "TAKE"

    def _judge(self, m, header, slot):
        """Offer a frame that the guard finds good, once the one before is taken; count any other one."""
        guard, frame = self.guard, self.o.payload
        with m.If(~guard.known):
            m.d.sync += self.count.bad_key.eq(1)
            self._next(m)
        with m.Elif(~guard.genuine):
            m.d.sync += self.count.bad_tag.eq(1)
            self._next(m)
        with m.Elif(~guard.new):
            m.d.sync += self.count.replayed.eq(1)
            self._next(m)
        with m.Elif(~guard.fresh & (self.active | (header["type"] != SyncType.HEARTBEAT.value))):
            # a heartbeat is how a standby that was reset lets the other unit hear of it
            m.d.comb += guard.good.eq(1)
            m.d.sync += self.count.unheard.eq(1)
            self._next(m)
        with m.Elif(~self.o.valid | self.o.ready):
            m.d.comb += guard.good.eq(1)
            m.d.sync += [
                self.o.valid.eq(1), slot.eq(~slot),
                frame.type.eq(header["type"]), frame.epoch.eq(header.epoch), frame.number.eq(header.number),
                frame.conn.eq(header.conn), frame.kind.eq(header.kind), frame.stamp.eq(header.stamp),
                frame.clock.eq(header.clock), frame.tick.eq(header.tick),
            ]
            self._next(m)

    def _addressed(self, header):
        """Whether the frame is of the other unit and for this one."""
        mine, other = STATION[0], STATION[1]
        return ((header.destination == Mux(self.unit, other, mine))
                & (header.source == Mux(self.unit, mine, other)))

    def _check(self, m, header, words, good):
        """Check that every field has a value of this version and that the frame is exactly as long as it says."""
        size = WORD // 8
        delta, full, state, control, bare = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            delta.eq((header.kind == RecordKind.DELTA) & (header.line_mask == DELTA_MASK)
                     & (header.length == DELTA_BEATS * size) & (words == HEADER_WORDS + DELTA_BEATS + 1)),
            full.eq(((header.kind == RecordKind.FULL) | (header.kind == RecordKind.RETIRE))
                    & (header.line_mask == FULL_MASK)
                    & (header.length == FULL_BEATS * size) & (words == HEADER_WORDS + FULL_BEATS + 1)),
            bare.eq((header.length == 0) & (words == HEADER_WORDS + 1)),
            state.eq((header["type"] == SyncType.STATE.value)
                     & (delta | full | (header.kind == RecordKind.END) & (header.line_mask == 0) & bare)
                     & (header.conn < self.params.connections)),
            control.eq((header["type"] >= SyncType.CONFIRM.value) & (header["type"] <= SyncType.HANDOVER.value) & bare),
            good.eq((header.ethertype == EtherType.SYNC) & (header.version == SYNC_VERSION)
                    & (header.key < KEY_SLOTS) & (state | control)),
        ]
