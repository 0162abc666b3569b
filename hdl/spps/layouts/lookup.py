"""Commands to the lookup controller. Source: patent §III.A to C."""
from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from .event import FlowKey

__all__ = ["KeyArgument", "LookupCommand", "LookupOp"]


class KeyArgument(data.Struct):
    """Argument of INSERT, DELETE and ESTABLISHED."""

    conn: unsigned(16)
    leg: unsigned(1)        # ESTABLISHED: ignored
    spare: unsigned(15)


class LookupOp(enum.Enum, shape=3):
    """What the lookup controller does with a key or a connection."""

    INSERT = 0      # also marks conn as in use
    DELETE = 1      # removes the key only
    FREE = 2        # conn may be used again; key ignored
    ESTABLISHED = 3 # conn no longer counts as half-open; key ignored
    PURGE = 4       # every key of conn is removed, conn may be used again; key ignored


class LookupCommand(data.Struct):
    """One command to the lookup controller, with the key of one leg."""

    op: LookupOp
    conn: unsigned(16)
    leg: unsigned(1)
    key: FlowKey
