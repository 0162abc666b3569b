"""An entry of the neighbour table, and where it is."""
from functools import reduce
from operator import xor

from amaranth.hdl import Cat, unsigned
from amaranth.lib import data, enum
from amaranth.utils import exact_log2

from ..layouts.neighbour import MAC_BITS, NETWORKS

__all__ = ["TICK_BITS", "TRIES_BITS", "WAYS", "Neighbour", "NeighbourState", "Note", "note_layout", "place_bits",
           "set_of"]

#: entries that an address may be in
WAYS = 4
#: times are compared as numbers of this size, so no time of the configuration is longer
TICK_BITS = 24
TRIES_BITS = 4


class NeighbourState(enum.Enum, shape=2):
    """What is known of an address."""

    FREE = 0
    RESOLVING = 1   # its MAC address is asked for
    VALID = 2       # its MAC address is known; with tries > 0 it is being asked whether it still is
    FAILED = 3      # it did not answer; it is not asked again before the deadline


class Neighbour(data.Struct):
    """An entry. Its place says the network and a hash of the address."""

    state: NeighbourState
    used: unsigned(1)               # a frame has left to it since its MAC address was heard
    recent: unsigned(1)             # one had, before that
    tries: unsigned(TRIES_BITS)     # requests without an answer
    ip: unsigned(32)
    mac: unsigned(MAC_BITS)
    deadline: unsigned(TICK_BITS)   # tick of the next change, in every state but FREE; RESOLVING without tries: now


class Note(enum.Enum, shape=1):
    """What a lookup has to tell the keeper."""

    MISSED = 0      # the address is not in the table
    USED = 1        # the entry at `row` is in use


def note_layout(params):
    """Return the layout of what a lookup tells the keeper; `ip` counts with MISSED, `row` with USED."""
    return data.StructLayout({"note": Note, "network": range(NETWORKS), "ip": 32, "row": range(params.neighbours)})


def place_bits(params):
    """Return the bits of a set's number within a network."""
    return exact_log2(params.neighbours // (WAYS * NETWORKS))


def set_of(params, network, ip):
    """Return the number of the set of an address: networks have sets of their own, so none takes another's entries."""
    bits = place_bits(params)
    parts = [ip[i:i + bits] for i in range(0, 32, bits)]
    return Cat(reduce(xor, parts)[:bits], network)
