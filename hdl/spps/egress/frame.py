"""What the stages of the output processor hand to one another, and the constants of the headers they build.

Source: IEEE 802.3, RFC 791, RFC 826, RFC 9293, RFC 7323, RFC 2018.
"""
from amaranth.hdl import Cat, Const, unsigned
from amaranth.lib import data, enum

from ..layouts.message import BEAT
from ..layouts.output import OutputBody, OutputFlag

__all__ = ["ETHERNET", "IPV4", "TCP", "ARP", "MIN_FRAME", "FIXED_BYTES", "OPTION_PLACES", "OPTIONS", "option_index", "options_bytes",
           "OutputSummary", "OutputIdentity", "OutputRequest", "FrameRequest", "OutputQueue", "STORE_ROWS", "SUMMARY_ROW", "STORE_BITS",
           "ORDERED_OUTPUTS", "CONTROL_BUFFERS", "STORE_SLOTS", "wire"]

ETHERNET, IPV4, TCP, ARP = 14, 20, 20, 28   # bytes of a header
MIN_FRAME = 60                              # without FCS

#: TCP options in the order they are written: flag, bytes, constant halves
OPTIONS = (
    (OutputFlag.MSS, 4, (0x0204,)),
    (OutputFlag.WSCALE, 4, (0x0103, 0x0300)),               # NOP first
    (OutputFlag.SACK_PERMITTED, 4, (0x0402, 0x0101)),       # two NOPs behind
    (OutputFlag.TIMESTAMP, 12, (0x0101, 0x080A)),           # two NOPs first, as in RFC 7323 appendix A
    (OutputFlag.SACK, 12, (0x0101, 0x050A)),
)
#: headers of a segment up to and without the urgent pointer
FIXED_BYTES = ETHERNET + IPV4 + TCP - 2
#: in front of the options, and each 32-bit word of them
OPTION_PLACES = 1 + sum(size for _, size, _ in OPTIONS) // 4
assert FIXED_BYTES % 4 == 0


def option_index(flags):
    """The OutputFlag bits of the options as one number, OPTIONS[0] in bit 0; flags: a 16-bit signal."""
    return Cat((flags & flag.value).any() for flag, _, _ in OPTIONS)


def options_bytes(index):
    """Bytes of the options of `option_index` (an int)."""
    return sum(size for bit, (_, size, _) in enumerate(OPTIONS) if index >> bit & 1)


def wire(*fields):
    """Fields in wire order as one value: the first in the most significant bits. Plain numbers are (value, bits)."""
    return Cat(*(Const(*f) if isinstance(f, tuple) else f for f in reversed(fields)))


class OutputSummary(data.Struct):
    """What the receiver knows of an output beside its body."""
    arp: unsigned(1)
    options: unsigned(len(OPTIONS))
    header_bytes: unsigned(7)       # all headers of the frame
    frame_bytes: unsigned(14)       # before padding
    address_sum: unsigned(18)       # of the two IPv4 addresses
    tcp_sum: unsigned(21)           # of pseudo header and TCP header with options, carries not folded


class OutputIdentity(data.Struct):
    """What connection and leg look like on the wire: outputs with the same identity leave in order."""
    iface: unsigned(4)              # a checked one: there are at most 16 ports
    local_ip: unsigned(32)
    remote_ip: unsigned(32)
    local_port: unsigned(16)
    remote_port: unsigned(16)


class OutputRequest(data.Struct):
    """A checked OUTPUT message, whose body is in the store."""
    arp: unsigned(1)
    payload: unsigned(1)            # it has some
    identity: OutputIdentity


class FrameRequest(data.Struct):
    """A frame whose payload is stored and whose checksums are known."""
    body: OutputBody
    arp: unsigned(1)
    options: unsigned(len(OPTIONS))
    header_bytes: unsigned(7)
    frame_bytes: unsigned(14)
    payload_bytes: unsigned(14)     # in the payload buffer
    buffer: unsigned(1)             # which half
    overtook: unsigned(1)           # an earlier output waits for its payload
    ttl: unsigned(8)
    identification: unsigned(16)
    ip_checksum: unsigned(16)
    tcp_checksum: unsigned(16)


class OutputQueue(enum.Enum, shape=2):
    """Which output is read from the store."""
    ORDERED = 0     # the head of the outputs that leave in order
    CONTROL = 1     # the head of the control outputs that may pass those
    FETCH = 2       # the ordered output whose payload is wanted next


#: the store: a slot of STORE_ROWS rows for each output; beats of the body are its first rows
STORE_ROWS = 16
SUMMARY_ROW = STORE_ROWS - 1
STORE_BITS = max(BEAT, OutputSummary.as_shape().size)
#: outputs that wait in order, and outputs without payload that wait to pass those
ORDERED_OUTPUTS = 8
CONTROL_BUFFERS = 4
#: one more is being received
STORE_SLOTS = ORDERED_OUTPUTS + CONTROL_BUFFERS + 1
