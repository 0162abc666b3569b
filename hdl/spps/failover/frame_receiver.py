"""Receives a whole sync frame and checks its format before it has any effect."""
from amaranth.hdl import Module, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.flowstate import DELTA_BEATS, DELTA_MASK, FULL_BEATS, FULL_MASK
from ..layouts.headers import EtherType
from ..layouts.message import BEAT
from ..layouts.record import SYNC_VERSION, RecordKind, SyncType
from ..lib import Counters
from .sync_frame import (
    CONTROL_WORDS,
    HEADER_FIELDS,
    HEADER_WORDS,
    SLOT_BEATS,
    WORD,
    SyncHeader,
    header_layout,
    header_word,
    swap_words,
    word_signature,
)

__all__ = ["FrameReceiver"]

VERSION_WORD = sum(size for _, size in HEADER_FIELDS[:[name for name, _ in HEADER_FIELDS].index("version")]) * 8 // WORD


class FrameReceiver(wiring.Component):
    """Holds one frame, header in registers and lines in a buffer, and offers it when it is complete and well formed.

    Parameters
    ----------
    params : SppsParams
        `connections` limits the flow id.

    Members
    -------
    i : In(stream of packet, 64 bits)
        Frames.
    o : Out(stream(SyncHeader))
        Headers of good frames. The lines stay readable while a header is offered.
    beat, read, lines : In(range(32)), In(1), Out(64)
        Address, enable and data of the lines, as flowstate beats; data comes one clock later.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency 2 clocks from the last word to the offer. Throughput 1 word per clock up to the end of a frame.
    `i` waits while a frame is checked or offered.

    Drop
    ----
    Bad frames and those of another version, whole, counted.

    Reset
    -----
    Empty.

    Source
    ------
    `layouts.record`; patent §X.B.
    """

    COUNTERS = Counters({
        "frame_in": "frames received on the sync link, whatever they hold",
        "bad_frame": "frames on the sync link with a link error, a wrong length or an undefined field value",
        "bad_version": "sync frames of another format version",
    })

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i": In(word_signature()), "o": Out(stream.Signature(SyncHeader)),
            "beat": In(range(SLOT_BEATS)), "read": In(1), "lines": Out(BEAT),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.buffer = buffer = memory.Memory(shape=BEAT, depth=SLOT_BEATS, init=[], attrs={"no_rw_check": 1})
        write, read = buffer.write_port(), buffer.read_port()
        header = Signal(header_layout())
        index = Signal(range(HEADER_WORDS + SLOT_BEATS + 1))     # saturates at its limit
        limit = HEADER_WORDS + SLOT_BEATS
        take, err, good, foreign = Signal(), Signal(), Signal(), Signal()
        word = self.i.payload
        frame = self.o.payload
        m.d.comb += [
            take.eq(self.i.valid & self.i.ready),
            write.addr.eq(index - HEADER_WORDS), write.data.eq(swap_words(word.data)),
            write.en.eq(take & (index >= HEADER_WORDS) & (index < limit)),
            read.addr.eq(self.beat), read.en.eq(self.read), self.lines.eq(read.data),
            frame.type.eq(header["type"]), frame.epoch.eq(header.epoch), frame.number.eq(header.number),
            frame.conn.eq(header.conn), frame.kind.eq(header.kind), frame.stamp.eq(header.stamp),
            frame.clock.eq(header.clock), frame.tick.eq(header.tick),
        ]
        self._check(m, header, index, good)
        m.d.comb += foreign.eq((header.ethertype == EtherType.SYNC) & (header.version != SYNC_VERSION)
                               & (index > VERSION_WORD))
        m.d.sync += self.count.eq(0)
        with m.FSM():
            with m.State("TAKE"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(take):
                    with m.Switch(index):
                        for k in range(HEADER_WORDS):
                            with m.Case(k):
                                m.d.sync += header_word(header, k).eq(word.data)
                    with m.If(index != limit):
                        m.d.sync += index.eq(index + 1)
                    with m.If(word.last):
                        m.d.sync += [err.eq(word.err | (word.empty != 0)), self.count.frame_in.eq(1)]
                        m.next = "CHECK"
            with m.State("CHECK"):
                m.d.sync += index.eq(0)
                with m.If(good & ~err):
                    m.next = "OFFER"
                with m.Else():
                    with m.If(foreign & ~err):
                        m.d.sync += self.count.bad_version.eq(1)
                    with m.Else():
                        m.d.sync += self.count.bad_frame.eq(1)
                    m.next = "TAKE"
            with m.State("OFFER"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "TAKE"
        return m

    def _check(self, m, header, words, good):
        """Check that every field has a value of this version and that the frame is exactly as long as it says."""
        size = WORD // 8
        delta, full, state, control, bare = Signal(), Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            delta.eq((header.kind == RecordKind.DELTA) & (header.line_mask == DELTA_MASK)
                     & (header.length == DELTA_BEATS * size) & (words == HEADER_WORDS + DELTA_BEATS)),
            full.eq(((header.kind == RecordKind.FULL) | (header.kind == RecordKind.RETIRE))
                    & (header.line_mask == FULL_MASK)
                    & (header.length == FULL_BEATS * size) & (words == HEADER_WORDS + FULL_BEATS)),
            bare.eq((header.length == 0) & (words >= HEADER_WORDS) & (words <= CONTROL_WORDS)),
            state.eq((header["type"] == SyncType.STATE.value)
                     & (delta | full | (header.kind == RecordKind.END) & (header.line_mask == 0) & bare)
                     & (header.conn < self.params.connections)),
            control.eq((header["type"] >= SyncType.CONFIRM.value) & (header["type"] <= SyncType.START.value) & bare),
            good.eq((header.ethertype == EtherType.SYNC) & (header.version == SYNC_VERSION) & (state | control)),
        ]
