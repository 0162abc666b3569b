"""What the stages of the output processor hand to one another, and the constants of the headers they build.

Source: IEEE 802.3, RFC 791, RFC 826, RFC 9293, RFC 7323, RFC 2018.
"""
from amaranth.hdl import Cat, Const, unsigned
from amaranth.lib import data, enum

from ..layouts.headers import ETHERNET_BYTES, IPV4_BYTES, TCP_BYTES, TcpOption
from ..layouts.message import BEAT
from ..layouts.output import OUTPUT_LIMIT, SACK_BLOCKS, OutputBody, OutputFlag

__all__ = ["BLOCK_BYTES", "CONTROL_BUFFERS", "FIXED_BYTES", "IPV4_DONT_FRAGMENT", "IPV4_START", "MIN_FRAME", "OPTIONS",
           "OPTION_LIMIT", "OPTION_PLACES", "ORDERED_OUTPUTS", "STORE_BITS", "STORE_ROWS", "STORE_SLOTS", "SUMMARY_ROW",
           "FrameRequest",
           "OutputIdentity", "OutputQueue", "OutputRequest", "OutputSummary", "option_index", "options_bytes",
           "wire_order"]

MIN_FRAME = 60                  # bytes without FCS
IPV4_START = 0x4500             # version 4, five words of header, no type of service
IPV4_DONT_FRAGMENT = 0x4000     # flags and fragment offset


def _half(first, second):
    """Two bytes of an option as a half word."""
    return int(first) << 8 | int(second)


_NOPS = _half(TcpOption.NOP, TcpOption.NOP)
#: TCP options in the order they are written: flag, bytes, constant halves (RFC 9293 §3.2, RFC 7323 appendix A, RFC 2018
#: §3)
OPTIONS = (
    (OutputFlag.MSS, 4, (_half(TcpOption.MSS, 4),)),
    (OutputFlag.WSCALE, 4, (_half(TcpOption.NOP, TcpOption.WSCALE), _half(3, 0))),
    (OutputFlag.SACK_PERMITTED, 4, (_half(TcpOption.SACK_PERMITTED, 2), _NOPS)),
    (OutputFlag.TIMESTAMP, 12, (_NOPS, _half(TcpOption.TIMESTAMP, 10))),
    (OutputFlag.SACK, 12, (_NOPS, _half(TcpOption.SACK, 10))),
)
#: headers of a segment up to and without the urgent pointer
FIXED_BYTES = ETHERNET_BYTES + IPV4_BYTES + TCP_BYTES - 2
#: bytes of each further SACK block, which follow the first one; OPTIONS has the length of the option with one block
BLOCK_BYTES = 8
OPTION_LIMIT = 40               # bytes of all options of a segment
#: in front of the options, and each 32-bit word of them
OPTION_PLACES = 1 + (sum(size for _, size, _ in OPTIONS) + (SACK_BLOCKS - 1) * BLOCK_BYTES) // 4
assert FIXED_BYTES % 4 == 0


def option_index(flags):
    """Return the options that a 16-bit value of OutputFlag names as one number, OPTIONS[0] in bit 0."""
    return Cat((flags & flag.value).any() for flag, _, _ in OPTIONS)


def options_bytes(index):
    """Return the bytes of the options of an `option_index` (an int)."""
    return sum(size for bit, (_, size, _) in enumerate(OPTIONS) if index >> bit & 1)


def wire_order(*fields):
    """Join fields to one value, the first in the most significant bits; a field is a value or a pair (number, bits)."""
    return Cat(*(Const(*f) if isinstance(f, tuple) else f for f in reversed(fields)))


class OutputSummary(data.Struct):
    """Row of the store behind the body: what the receiver derived from an output."""

    arp: unsigned(1)
    options: unsigned(len(OPTIONS))
    more_blocks: range(SACK_BLOCKS) # SACK blocks behind the first
    header_bytes: unsigned(7)       # all headers of the frame
    frame_bytes: unsigned(14)       # before padding
    address_sum: unsigned(18)       # of the two IPv4 addresses
    tcp_sum: unsigned(21)           # of pseudo header and TCP header with options, carries not folded


class OutputIdentity(data.Struct):
    """Connection and leg on the wire: outputs with the same identity leave in order."""

    iface: unsigned(4)              # checked; there are at most 16 ports
    local_ip: unsigned(32)
    remote_ip: unsigned(32)
    local_port: unsigned(16)
    remote_port: unsigned(16)


class OutputRequest(data.Struct):
    """A checked OUTPUT message whose body is in the store."""

    arp: unsigned(1)
    payload: unsigned(1)            # it has a payload
    identity: OutputIdentity


class FrameRequest(data.Struct):
    """A frame whose payload is stored and whose checksums are known."""

    body: OutputBody
    blocks: data.ArrayLayout(BEAT, SACK_BLOCKS - 1)     # SACK blocks behind that of the body
    arp: unsigned(1)
    options: unsigned(len(OPTIONS))
    more_blocks: range(SACK_BLOCKS) # how many of them
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
    """Whose body is read from the store."""

    ORDERED = 0     # the head of the outputs that leave in order
    CONTROL = 1     # the head of the control outputs that may pass those
    FETCH = 2       # the ordered output whose payload is wanted next


#: rows of a slot of the store, one slot per output: the beats of the body first, the OutputSummary last
STORE_ROWS = 16
SUMMARY_ROW = STORE_ROWS - 1
STORE_BITS = max(BEAT, OutputSummary.as_shape().size)
assert OUTPUT_LIMIT <= SUMMARY_ROW
#: outputs that wait in order. Each costs a clock of the search for an identity, in which the receiver waits, and LUT
#: RAM for the identity. The payloads of eight full frames take a port longer than memory takes to answer, so more would
#: not raise the rate
ORDERED_OUTPUTS = 8
#: outputs without payload that wait to pass those. Only needed while frames leave more slowly than control outputs
#: come, and then more of them would wait here instead of in front of the receiver
CONTROL_BUFFERS = 4
#: one slot more for the output that is being received
STORE_SLOTS = ORDERED_OUTPUTS + CONTROL_BUFFERS + 1
