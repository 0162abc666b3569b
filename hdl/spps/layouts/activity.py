"""What the cores of an SPPS do in each clock, for traces in simulation; all zero when nothing happens."""
from amaranth.hdl import unsigned
from amaranth.lib import data

from .message import BEAT

__all__ = ["BeatActivity", "CoreActivity", "activity_layout"]


class CoreActivity(data.Struct):
    """One core. Numbers are zero unless the bit in front of them is set."""

    commit: unsigned(1)         # the event whose last beat came before is complete in this slot
    commit_slot: unsigned(4)
    start: unsigned(1)          # the event in this slot begins
    slot: unsigned(4)
    workspace: unsigned(4)
    leg: unsigned(1)
    retire: unsigned(1)         # the instruction at pc is complete
    trap: unsigned(1)           # it trapped
    pc: unsigned(12)
    store: unsigned(1)          # it wrote a word of data memory
    address: unsigned(12)
    value: unsigned(32)
    write: unsigned(1)          # an instruction before it wrote a register
    register: unsigned(4)
    result: unsigned(32)


class BeatActivity(data.Struct):
    """A beat that crosses a message stream."""

    valid: unsigned(1)
    last: unsigned(1)
    data: unsigned(BEAT)


def activity_layout(params):
    """Return the layout of what all clusters do: messages to the cluster, messages of its cores, and its cores."""
    return data.ArrayLayout(data.StructLayout({
        "i": BeatActivity, "o": BeatActivity, "cores": data.ArrayLayout(CoreActivity, params.cores),
    }), params.clusters)
