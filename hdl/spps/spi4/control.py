"""Control words and the internal units of the SPI-4 blocks (OIF-SPI4-02.1 §6.2)."""
from amaranth.hdl import unsigned
from amaranth.lib import data, enum

__all__ = ["Eops", "ControlWord", "checked_layout", "segment_layout", "burst_word_layout", "SOP_SPACING", "BLOCK_BYTES",
           "TRAINING_ADDRESS"]

BLOCK_BYTES = 16            # bursts are multiples of it except at the end of a packet
SOP_SPACING = 8             # words from one SOP control word to the next
TRAINING_ADDRESS = 0xFF


class Eops(enum.Enum, shape=2):
    """What a control word says of the end of the burst before it."""

    NONE = 0
    ABORT = 1
    TWO = 2                 # end of packet, two bytes of the last word are valid
    ONE = 3


class ControlWord(data.Struct):
    """A word with CTL = 1; `sop` without `payload` is reserved."""

    dip: unsigned(4)
    address: unsigned(8)
    sop: unsigned(1)
    eops: Eops
    payload: unsigned(1)


def checked_layout(lanes):
    """Return the layout of a group of words with DIP-4 findings; lost: groups were lost before this one."""
    return data.StructLayout({"data": data.ArrayLayout(16, lanes), "ctl": lanes, "bad": lanes, "lost": 1})


def segment_layout(lanes):
    """Return the layout of `count` data words and then, with `ctl`, control words that are handled in one clock.

    eops: of the first control word; control: the last one; bad: its DIP-4 is wrong; lost: groups were lost before.
    """
    return data.StructLayout({
        "data": data.ArrayLayout(16, lanes), "count": range(lanes + 1), "ctl": 1, "eops": Eops, "control": ControlWord,
        "bad": 1, "lost": 1,
    })


def burst_word_layout(width):
    """Return the layout of a datapath word of a burst.

    sop: the packet begins here; last: it ends here, err: with an error; bad: the burst cannot be trusted.
    """
    return data.StructLayout({
        "data": width, "empty": range(width // 8), "port": 8, "sop": 1, "last": 1, "err": 1, "bad": 1,
    })
