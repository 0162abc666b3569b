"""Sync frames inside the block: the header on the wire, and its fields after it was checked.

Frames are handled as 64-bit words in wire order. A header, lines and the tag are whole words. All positions follow
from `layouts.record` and `layouts.flowstate`. Source: patent §X.B; IEEE 802.3 for the Ethernet II header.
"""
from amaranth.hdl import Cat, unsigned
from amaranth.lib import data

from ..layouts.flowstate import (
    FULL_BEATS,
    FULL_LINES,
    LEG_BASE,
    LEG_STRIDE,
    LINE_BEATS,
    LINE_WORDS,
)
from ..layouts.message import BEAT
from ..layouts.packet import packet_signature
from ..layouts.record import SYNC_HEADER_FIELDS, SyncType

__all__ = ["WORD", "HEADER_FIELDS", "HEADER_WORDS", "SLOT_BEATS", "LEG_BEATS", "STATION", "KEY_SLOTS", "KEY_BITS",
           "SyncHeader", "RecordHead", "header_layout", "header_word", "word_signature", "swap_words", "swap_bytes",
           "beat_in_flowstate", "older"]

WORD = 64
#: (name, bytes) of everything before the lines, in wire order
HEADER_FIELDS = (("destination", 6), ("source", 6), ("ethertype", 2)) + SYNC_HEADER_FIELDS
HEADER_WORDS = sum(size for _, size in HEADER_FIELDS) * 8 // WORD
SLOT_BEATS = 32         # a record and its head, rounded up to a power of two
#: first beat of each leg's address line inside a full record
LEG_BEATS = tuple(FULL_LINES.index((LEG_BASE + leg * LEG_STRIDE) // LINE_WORDS) * LINE_BEATS for leg in (0, 1))
KEY_SLOTS, KEY_BITS = 2, 128
#: link addresses of unit 0 and unit 1 (locally administered)
STATION = (0x020000000001, 0x020000000002)

assert WORD == BEAT and HEADER_WORDS * WORD == sum(size for _, size in HEADER_FIELDS) * 8
assert HEADER_WORDS + 1 >= 8, "a frame without lines has 60 bytes, Ethernet's minimum, and more"
assert FULL_BEATS < SLOT_BEATS and tuple(sorted(FULL_LINES)) == FULL_LINES


class SyncHeader(data.Struct):
    """Header of a frame without the constant fields and those that follow from others."""

    type: SyncType
    epoch: unsigned(16)
    number: unsigned(32)
    conn: unsigned(16)
    kind: unsigned(2)       # STATE: RecordKind; HEARTBEAT, START: StandbyIs
    stamp: unsigned(32)
    clock: unsigned(32)
    tick: unsigned(32)


class RecordHead(data.Struct):
    """First beat of a record in the replay ring and between ring and `FrameSender`."""

    number: unsigned(32)
    conn: unsigned(16)
    kind: unsigned(2)
    spare: unsigned(14)


def header_layout():
    """Return the layout of the whole header, first field in the most significant bits."""
    return data.StructLayout({name: unsigned(8 * size) for name, size in reversed(HEADER_FIELDS)})


def header_word(view, index):
    """Return 64-bit word `index` of a header, in wire order."""
    top = HEADER_WORDS - index
    return view.as_value()[(top - 1) * WORD:top * WORD]


def word_signature():
    """Return the signature of frames inside the block: packets 64 bits wide for every `data_width`."""
    return packet_signature(WORD)


def swap_words(beat):
    """Convert a beat (lower word in bits 31:0) to wire order (lower word first), or back."""
    return beat.rotate_left(32)


def swap_bytes(word):
    """Convert a word in wire order to one whose first byte is in bits 7:0, as SipHash counts them, or back."""
    return Cat(word[first:first + 8] for first in reversed(range(0, WORD, 8)))


def beat_in_flowstate():
    """Return [(first beat in a full record, first beat in the flowstate)] of each line; a delta is the first line."""
    return [(place * LINE_BEATS, line * LINE_BEATS) for place, line in enumerate(FULL_LINES)]


def older(a, b):
    """Return 1 when number `a` comes before `b`; both have the same width n and count modulo 2^n."""
    return (a - b)[:len(a)][-1]
