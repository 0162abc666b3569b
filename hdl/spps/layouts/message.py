"""Messages on the message bus and the command chain: packets of 64-bit beats.

The first beat is a `MessageHeader`; `length` counts the beats after it. Words of a beat: the word with
the lower address is in bits 31:0. What a kind carries stands in the module of the unit that speaks or is spoken to:
director, lookup, socket, output, record, neighbour. Source: patent §VI, F3 (message bus 314), §IV.
"""
from amaranth.hdl import unsigned
from amaranth.lib import data, enum, stream

__all__ = ["BEAT", "MessageHeader", "MessageKind", "Unit", "beat_layout", "beat_signature"]

BEAT = 64


class Unit(enum.Enum, shape=4):
    """Addresses on the message bus."""

    DIRECTOR = 0
    LOOKUP = 1
    SOCKET = 2      # socket memory controller; outputs and sync records pass through it in order
    NEIGHBOUR = 3   # neighbour table
    CLUSTER0 = 8    # CLUSTER0 + n


class MessageKind(enum.Enum, shape=8):
    """What a message asks for, who sends it to whom, and what follows its first beat."""

    TRAP = 0
    EVENT = 1       # director -> cluster: EVENT_BEATS beats of Event; argument = EventArgument
    DONE = 2        # core -> director: end of event (1 beat: Done)
    COPY = 3        # core -> socket: scratchpad payload into socket memory (2 beats: CopyArgument, SocketAddress)
    RELEASE = 4     # core -> socket: give a scratchpad chain back (0 beats; argument = ReleaseArgument)
    OUTPUT = 5      # core -> socket -> gate -> egress: emit a frame (OUTPUT_BEATS beats: OutputBody; more: SACK)
    SYNC = 6        # core -> socket -> sync port: lines of flowstate; argument = SyncArgument of layouts.record
    INSERT = 7      # core -> lookup: (2 beats: FlowKey in the low 116 bits); argument = KeyArgument
    DELETE = 8      # core -> lookup: same; removes the key
    ESTABLISHED = 9 # core -> lookup: (0 beats); argument = KeyArgument; its handshake is complete, or not
    CONSUMED = 10   # core -> socket: as SYNC, for a connection without a standby: goes no further
    NOTE = 11       # core -> lookup: (0 beats); argument = ProgramNote of layouts.lookup, which is counted
    LEARN = 12      # core -> neighbour: sender addresses of an ARP packet (1 beat: LearnBody); argument = LearnArgument
    TIME_WAIT = 13  # core -> lookup: (0 beats); argument = KeyArgument; it waits 2 MSL
    REPLAY = 14     # core -> lookup: a SYN to be looked up again (EVENT_BEATS of Event); argument = ReplayArgument
    COVERED = 15    # core -> lookup: (0 beats); argument = KeyArgument; an endpoint, which has no record


class MessageHeader(data.Struct):
    """First beat of a message."""

    kind: MessageKind       # word 0
    unit: Unit
    source: unsigned(4)     # core number inside its cluster, filled by the cluster
    cluster: unsigned(4)    # filled by the cluster
    spare: unsigned(4)
    length: unsigned(8)     # beats that follow
    argument: unsigned(32)  # word 1


def beat_layout():
    """Return the layout of a beat: 64 bits, and whether it is the last of its message."""
    return data.StructLayout({"data": unsigned(BEAT), "last": unsigned(1)})


def beat_signature():
    """Return the signature of a stream of messages: beats up to `last`, no message interleaved with another."""
    return stream.Signature(beat_layout())
