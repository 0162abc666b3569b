"""What happens to a connection, for the parts that keep track of all of them."""
from amaranth.hdl import unsigned
from amaranth.lib import data, enum

__all__ = ["Mark", "MarkOp"]


class MarkOp(enum.Enum, shape=3):
    """What happens to a connection."""

    CREATE = 0          # in use, half-open
    INSERT = 1          # in use; half-open if it was
    FREE = 2
    ESTABLISHED = 3     # no longer half-open
    TIME_WAIT = 4       # may be ended early
    ENDING = 5          # is about to be freed
    COVERED = 6         # the standby has its full record, or needs none
    HALF_OPEN = 7       # half-open again


class Mark(data.Struct):
    """A connection, and what happens to it."""

    conn: unsigned(16)
    op: MarkOp
