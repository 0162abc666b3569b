"""Messages on the message bus and the command chain: packets of 64-bit beats.

The first beat is a `MessageHeader`; `length` counts the beats after it. Words of a beat: the word with
the lower address is in bits 31:0. Source: patent §VI, F3 (message bus 314), §IV.
"""
from amaranth.hdl import unsigned
from amaranth.lib import data, enum, stream

from .event import FlowKey

__all__ = ["BEAT", "SOCKET_POOLS", "Unit", "MessageKind", "MessageHeader", "beat_layout", "beat_signature", "OutputFlag",
           "ReleaseArgument", "CopyArgument", "OutputBody", "LookupOp", "LookupCommand", "Done", "DmaOp", "DmaCommand",
           "FlowstateWrite", "FlowstateBeat", "PoolBit", "SocketRing", "SocketAddress", "SocketRead", "ScratchRead", "ScratchPage", "Delivery",
           "OUTPUT_BEATS", "OUTPUT_ADDRESS_BEATS", "RegisterRequest", "TimerSet", "Instruction", "InstructionWrite",
           "CoreDone", "ClusterDma"]

BEAT = 64
SOCKET_POOLS = 4


class Unit(enum.Enum, shape=4):
    """Addresses on the message bus."""
    DIRECTOR = 0
    LOOKUP = 1
    SOCKET = 2      # socket memory controller; outputs and sync records pass through it in order
    CLUSTER0 = 8    # CLUSTER0 + n


class MessageKind(enum.Enum, shape=8):
    TRAP = 0
    EVENT = 1       # director -> cluster: 8 beats of Event
    DONE = 2        # core -> director: end of event (1 beat: Done)
    COPY = 3        # core -> socket: scratchpad payload into socket memory (1 beat: CopyArgument, 1 beat: SocketAddress)
    RELEASE = 4     # core -> socket: give a scratchpad chain back (0 beats; argument = ReleaseArgument)
    OUTPUT = 5      # core -> socket -> gate -> egress: emit a frame (OUTPUT_BEATS beats: OutputBody)
    SYNC = 6        # core -> socket -> sync port: lines of flowstate; argument = SyncArgument of layouts.record
    INSERT = 7      # core -> lookup: (2 beats: FlowKey in the low 116 bits); argument = conn | leg << 16
    DELETE = 8      # core -> lookup: same; removes the key
    ESTABLISHED = 9 # core -> lookup: (0 beats); argument = conn; its handshake is complete
    CONSUMED = 10   # core -> socket: as SYNC, for a connection without a standby: goes no further


class MessageHeader(data.Struct):
    """First beat."""
    kind: MessageKind       # word 0
    unit: Unit
    source: unsigned(4)     # core number inside its cluster, filled by the cluster
    cluster: unsigned(4)    # filled by the cluster
    spare: unsigned(4)
    length: unsigned(8)     # beats that follow
    argument: unsigned(32)  # word 1


def beat_layout():
    return data.StructLayout({"data": unsigned(BEAT), "last": unsigned(1)})


def beat_signature():
    """One message: beats up to `last`. A message is never interleaved with another."""
    return stream.Signature(beat_layout())


class OutputFlag(enum.IntFlag, shape=16):
    """Low half of the argument of OUTPUT."""
    GATED = 1       # leave only when the standby has confirmed the last sync record issued before
    MSS = 2         # append an MSS option
    WSCALE = 4      # append a window scale option
    TIMESTAMP = 8
    ARP = 16        # an ARP reply instead of a TCP segment
    SACK_PERMITTED = 32
    SACK = 64


class ReleaseArgument(data.Struct):
    """Argument of RELEASE."""
    ref: unsigned(16)
    refused: unsigned(1)    # there was no room in socket memory
    spare: unsigned(15)


class CopyArgument(data.Struct):
    """Argument beat of COPY; the whole chain `ref` is released afterwards."""
    ref: unsigned(16)
    skip: unsigned(16)      # bytes of the payload to leave out
    length: unsigned(16)    # bytes to copy
    spare: unsigned(16)


class PoolBit:
    """CSR pool_status: bit READY + p of pool p: a payload may be copied; bit OPEN + p: windows may grow."""
    READY = 0
    OPEN = SOCKET_POOLS


class SocketRing(data.Struct):
    """The buffer of one connection and direction in socket memory."""
    conn: unsigned(16)
    direction: unsigned(1)  # 0: bytes received on leg 0, to be sent on leg 1; 1: the other way
    pool: unsigned(2)       # whose pages it is made of
    spare: unsigned(13)


class SocketAddress(data.Struct):
    """A place in socket memory."""
    offset: unsigned(32)    # sequence number of the byte on the leg that sends it
    ring: SocketRing


class OutputBody(data.Struct):
    """OUTPUT after the header: three beats copied from the leg's address line, then the segment.

    ARP reply: mac, local_ip (sender), remote_ip (target) and iface count; the rest is ignored.
    """
    # beats 0..2 = words 0..5 of the leg's address line
    mac_hi: unsigned(16)
    iface: unsigned(8)
    spare_0: unsigned(8)
    mac_lo: unsigned(32)
    local_ip: unsigned(32)
    remote_ip: unsigned(32)
    local_port: unsigned(16)
    remote_port: unsigned(16)
    spare_5: unsigned(32)
    # beats 3..7
    seq: unsigned(32)
    ack: unsigned(32)
    window: unsigned(16)        # as on the wire
    tcp_flags: unsigned(8)
    wscale: unsigned(8)
    length: unsigned(16)        # payload bytes
    mss: unsigned(16)
    spare_10: unsigned(32)
    ring: SocketRing            # where the payload is, from `seq` on; read when length > 0
    ts_val: unsigned(32)
    ts_ecr: unsigned(32)
    sack_left: unsigned(32)
    sack_right: unsigned(32)


OUTPUT_ADDRESS_BEATS = 3
OUTPUT_BEATS = OutputBody.as_shape().size // BEAT
assert OUTPUT_BEATS == 8


class LookupOp(enum.Enum, shape=3):
    INSERT = 0      # also marks conn as in use
    DELETE = 1      # removes the key only
    FREE = 2        # conn may be used again; key ignored
    ESTABLISHED = 3 # conn no longer counts as half-open; key ignored
    PURGE = 4       # every key of conn is removed, conn may be used again; key ignored


class LookupCommand(data.Struct):
    op: LookupOp
    conn: unsigned(16)
    leg: unsigned(1)
    key: FlowKey


class Done(data.Struct):
    """End of event (one beat)."""
    conn: unsigned(16)
    workspace: unsigned(4)
    close: unsigned(1)      # the connection is over: free conn when its event counter is zero
    noflow: unsigned(1)     # the event had no flow: nothing to count or write back
    trap: unsigned(1)       # the event was not processed to its end: the workspace is void
    spare: unsigned(9)
    deadline: unsigned(32)  # absolute tick of the next TIMER event, 0: none


class DmaOp(enum.Enum, shape=2):
    LOAD = 0        # flowstate memory -> workspace, clears its dirty lines
    WRITE_BACK = 1  # dirty lines of the workspace -> flowstate memory
    CLEAR = 2       # a new connection: zeros into the workspace and into flowstate memory


class DmaCommand(data.Struct):
    op: DmaOp
    core: unsigned(4)
    workspace: unsigned(4)
    conn: unsigned(16)


class FlowstateBeat(data.Struct):
    """Answer to a flowstate read: 64 beats in order, last on the 64th."""
    data: unsigned(BEAT)
    last: unsigned(1)


class FlowstateWrite(data.Struct):
    conn: unsigned(16)
    beat: unsigned(6)       # 64-bit beat inside the flowstate
    data: unsigned(BEAT)


class SocketRead(data.Struct):
    address: SocketAddress
    length: unsigned(16)


class ScratchPage(data.Struct):
    """What the scratchpad says of a stored payload: first page, bytes it counted itself, ok = stored whole."""
    ref: unsigned(16)
    length: unsigned(16)
    ok: unsigned(1)


class ScratchRead(data.Struct):
    ref: unsigned(16)
    skip: unsigned(16)
    length: unsigned(16)


class TimerSet(data.Struct):
    conn: unsigned(16)
    deadline: unsigned(32)


class Delivery(data.Struct):
    """Director -> bus: an event for a core."""
    from .event import Event as _Event
    event: _Event
    cluster: unsigned(4)
    core: unsigned(4)
    workspace: unsigned(4)
    load: unsigned(1)       # a DMA LOAD of this workspace was issued: the core waits for it


class CoreDone(data.Struct):
    """Bus -> director: Done with the sender that the header named."""
    done: Done
    cluster: unsigned(4)
    core: unsigned(4)


class ClusterDma(data.Struct):
    """DmaCommand between the director and the DMA of one of the clusters."""
    command: DmaCommand
    cluster: unsigned(4)


class RegisterRequest(data.Struct):
    """MMC access: byte address of a 32-bit register."""
    address: unsigned(16)
    data: unsigned(32)
    write: unsigned(1)


Instruction = unsigned(36)


class InstructionWrite(data.Struct):
    cluster: unsigned(4)
    address: unsigned(12)
    data: Instruction
