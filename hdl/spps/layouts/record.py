"""Sync records: what one SPPS tells the other. The byte format is published in failover/README.md.

Every sync frame is an Ethernet II frame of type 0x88B5 that holds one header of 42 bytes (SYNC_HEADER_FIELDS), for
STATE, from byte 56 on, the flowstate lines named by `line_mask`, lowest first, each 32 bytes, words big-endian, and a
tag of 8 bytes over everything before it (SipHash-2-4). `length` counts the bytes of the lines.

Source: patent §X.B.
"""
from amaranth.hdl import unsigned
from amaranth.lib import data, enum

__all__ = ["SYNC_VERSION", "SyncType", "RecordKind", "StandbyIs", "SyncArgument", "SYNC_HEADER_FIELDS"]

SYNC_VERSION = 4        # another one is refused and counted


class SyncType(enum.Enum, shape=8):
    """Type of a sync frame."""

    STATE = 1       # numbered; lines of one connection
    CONFIRM = 2     # number = highest in-order record applied
    HEARTBEAT = 3   # number = highest record issued; stamp = sender's cycle counter; conn = connections without a
                    # record at the standby; kind = StandbyIs
    ECHO = 4        # answer of a member to a heartbeat or START; stamp is copied from it, number as in CONFIRM
    JOIN = 5        # answer of a standby that is no member and knows no connection; stamp is copied from the heartbeat,
                    # number = digest of what both units must agree on, conn = how many connections it holds, less one
    START = 6       # answer to JOIN: the standby becomes a member and applies the records after number; stamp as in
                    # HEARTBEAT, kind = StandbyIs.MEMBER
    HANDOVER = 7    # the active has given its role up, and has no lease: a member that has record `number` takes over;
                    # bit 0 of kind: nothing is held that is not acknowledged


class RecordKind(enum.IntEnum, shape=2):
    """What a STATE frame holds, and what the standby does with it."""

    DELTA = 0       # DELTA_LINES
    FULL = 1        # FULL_LINES; the standby inserts both keys
    RETIRE = 2      # FULL_LINES; the standby deletes both keys and frees the id
    END = 3         # no lines, conn 0: the standby has a full record of every connection (end of a resynchronization)


class StandbyIs(enum.IntFlag, shape=2):
    """What an active says of its standby, field `kind` of HEARTBEAT and START."""

    NEEDED = 1      # the sender emits only while its heartbeats are echoed, so a member that hears none may take over
    MEMBER = 2      # it has been sent a START, and nothing after that is missing


class SyncArgument(data.Struct):
    """Argument of a SYNC message."""

    conn: unsigned(16)
    kind: unsigned(2)       # RecordKind
    spare: unsigned(14)


#: (name, bytes) in wire order, big-endian
SYNC_HEADER_FIELDS = (
    ("version", 1), ("key", 1), ("epoch", 2), ("number", 4), ("conn", 2), ("line_mask", 2), ("type", 1), ("kind", 1),
    ("length", 2), ("stamp", 4), ("clock", 4), ("tick", 4), ("serial", 8), ("heard", 4), ("pad", 2),
)
