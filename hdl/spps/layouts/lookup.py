"""Commands to the lookup controller. Source: patent §III.A to C."""
from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from .counted import Counted, CountedMember
from .event import Event, FlowKey

__all__ = ["KeyArgument", "LookupCommand", "LookupOp", "ProgramNote", "Replay", "ReplayArgument", "SYN_FIELDS", "Syn"]


class ProgramNote(CountedMember, enum.Enum, shape=4):
    """What a program has decided and only it can count: the argument of NOTE. Each has a counter of the lookup."""

    ICMP_TOO_BIG = Counted(0, "ICMP messages `fragmentation needed` that made the segments of a leg smaller")
    ICMP_REFUSED = Counted(1, "ICMP messages that ended an attempt to connect to a server")
    ICMP_OLD = Counted(2, "ICMP messages ignored because they quote nothing that is in flight")
    ICMP_IGNORED = Counted(3, "ICMP messages ignored for what they say: soft errors, hard errors of a connection, "
                              "an MTU that is no smaller")


class KeyArgument(data.Struct):
    """Argument of INSERT, DELETE, ESTABLISHED, NOTE, TIME_WAIT and COVERED."""

    conn: unsigned(16)      # NOTE: ProgramNote
    leg: unsigned(1)        # ESTABLISHED, NOTE, TIME_WAIT, COVERED: ignored
    half_open: unsigned(1)  # ESTABLISHED: conn counts as half-open again, after a takeover; else ignored
    spare: unsigned(14)


class LookupOp(enum.Enum, shape=3):
    """What the lookup controller does with a key or a connection."""

    INSERT = 0      # also marks conn as in use
    DELETE = 1      # removes the key only
    FREE = 2        # conn may be used again; key ignored
    ESTABLISHED = 3 # conn no longer counts as half-open, or does so again (`half_open`); key ignored
    PURGE = 4       # every key of conn is removed, conn may be used again; key ignored
    NOTE = 5        # conn is a ProgramNote, which is counted; no more; key ignored
    TIME_WAIT = 6   # conn may be ended early when another needs its place; key ignored
    COVERED = 7     # the standby needs no more to go on with conn, or conn is not shared with it; key ignored


class LookupCommand(data.Struct):
    """One command to the lookup controller, with the key of one leg."""

    op: LookupOp
    conn: unsigned(16)
    leg: unsigned(1)
    half_open: unsigned(1)
    key: FlowKey


#: what a SYN that waits for a connection keeps of its event; its payload is given back, all else is 0
SYN_FIELDS = ("iface", "src_ip", "dst_ip", "dst_port", "src_port", "seq", "ack", "window", "tcp_flags", "mss", "wscale",
              "options", "ts_val", "src_mac_hi", "src_mac_lo")
#: a SYN that waits: SYN_FIELDS, and whether a core sent it, so that `ack` is the lowest ISN it may be answered with
Syn = data.StructLayout({**{name: Event.as_shape()[name].shape for name in SYN_FIELDS}, "again": unsigned(1)})


class ReplayArgument(data.Struct):
    """Argument of REPLAY."""

    wait: unsigned(1)       # 1: not before a connection is freed
    spare: unsigned(31)


#: a SYN that a core sends back to be looked up again
Replay = data.StructLayout({"syn": Syn, "wait": unsigned(1)})
