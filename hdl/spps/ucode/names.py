"""Names that microcode may use, taken from the layouts so that no offset or code is typed twice."""
import enum

from ..layouts import (
    director,
    dma,
    event,
    flowstate,
    headers,
    lookup,
    message,
    neighbour,
    output,
    record,
    socket,
)
from ..layouts.flowstate import Field
from .isa import TrapCode

__all__ = ["ENUMS", "STRUCTS", "BASE_FIELDS", "CONSTANTS", "struct_fields", "header_word"]

WORD = 32


def struct_fields(struct):
    """Return the members of an Amaranth Struct as Fields: 32-bit word, least significant bit in it, width.

    A member that spans words keeps its full width.
    """
    return {name: Field(field.offset // WORD, field.offset % WORD, field.width) for name, field in struct.as_shape()}


def _members(cls):
    if issubclass(cls, enum.Enum):
        return {m.name: int(m.value) for m in cls}
    return {k: v for k, v in vars(cls).items() if not k.startswith("_")}


#: `Name.MEMBER`
ENUMS = {cls.__name__: _members(cls) for cls in (
    event.EventKind, event.TimerCause, event.OptionFlag, event.CheckFlag, flowstate.ConnFlag, flowstate.Service,
    message.Unit, message.MessageKind, output.OutputFlag, socket.PoolBit, lookup.LookupOp, dma.DmaOp,
    record.SyncType, record.RecordKind, headers.TcpFlag, headers.ArpOperation, headers.IpProtocol,
    headers.Unreachable, lookup.ProgramNote, director.EndCause, TrapCode)}
#: `Struct.member`: words of messages
STRUCTS = {cls.__name__: struct_fields(cls) for cls in (
    event.Event, event.FlowKey, message.MessageHeader, director.EventArgument, lookup.KeyArgument,
    lookup.ReplayArgument, socket.CopyHeader, socket.CopyArgument, socket.ReleaseArgument, socket.SocketRing,
    socket.SocketAddress, output.OutputBody, director.Done, director.EndOperand, record.SyncArgument,
    neighbour.LearnArgument, neighbour.LearnBody)}
#: `BASE.member`
BASE_FIELDS = {"WS": flowstate.SHARED, "L": flowstate.LEG, "P": flowstate.LEG, "EV": STRUCTS["Event"],
               "SC": {}, "X": {}}
CONSTANTS = {name: getattr(module, name) for module, name in (
    (flowstate, "LINE_WORDS"), (flowstate, "FLOWSTATE_WORDS"), (flowstate, "LEG_BASE"), (flowstate, "LEG_STRIDE"),
    (flowstate, "LINE_BEATS"), (flowstate, "LEG_HARD_BEATS"), (flowstate, "DELTA_BEATS"), (flowstate, "DELTA_MASK"),
    (flowstate, "FULL_BEATS"), (flowstate, "FULL_MASK"), (flowstate, "GAP_LISTS"),
    (flowstate, "EPOCH_BITS"), (flowstate, "GAP_BLOCKS"),
    (headers, "IPV4_BYTES"), (headers, "TCP_BYTES"), (event, "EVENT_WORDS"), (output, "OUTPUT_BEATS"),
    (output, "SACK_BLOCKS"), (output, "OUTPUT_ADDRESS_BEATS"), (neighbour, "ARP_RESOLVE"),
    (director, "EVENT_BEATS"))}


def header_word(kind, unit, beats):
    """Word 0 of a MessageHeader as a program sends it; source and cluster are filled by the cluster.

    ValueError: a value does not fit its member.
    """
    fields, word = STRUCTS["MessageHeader"], 0
    for name, value in (("kind", kind), ("unit", unit), ("length", beats)):
        if not 0 <= value < 1 << fields[name].width:
            raise ValueError(f"{name} of the header is {value}, expected 0..{(1 << fields[name].width) - 1}")
        word |= value << fields[name].lsb
    return word
