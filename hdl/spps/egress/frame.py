"""What the stages of the output processor hand to one another, and the constants of the headers they build.

Source: IEEE 802.3, RFC 791, RFC 826, RFC 9293, RFC 7323, RFC 2018.
"""
from amaranth.hdl import Cat, Const, unsigned
from amaranth.lib import data

from ..layouts.message import OutputBody, OutputFlag

__all__ = ["ETHERNET", "IPV4", "TCP", "ARP", "MIN_FRAME", "HEADER_BYTES", "OPTIONS", "option_index", "options_bytes",
           "OutputRequest", "FrameRequest", "wire"]

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
#: longest header, rounded up to whole words of every width
HEADER_BYTES = 96
assert ETHERNET + IPV4 + TCP + sum(size for _, size, _ in OPTIONS) <= HEADER_BYTES


def option_index(flags):
    """The OutputFlag bits of the options as one number, OPTIONS[0] in bit 0; flags: a 16-bit signal."""
    return Cat((flags & flag.value).any() for flag, _, _ in OPTIONS)


def options_bytes(index):
    """Bytes of the options of `option_index` (an int)."""
    return sum(size for bit, (_, size, _) in enumerate(OPTIONS) if index >> bit & 1)


def wire(*fields):
    """Fields in wire order as one value: the first in the most significant bits. Plain numbers are (value, bits)."""
    return Cat(*(Const(*f) if isinstance(f, tuple) else f for f in reversed(fields)))


class OutputRequest(data.Struct):
    """A checked OUTPUT message."""
    body: OutputBody
    arp: unsigned(1)
    options: unsigned(len(OPTIONS))
    header_bytes: unsigned(7)       # all headers of the frame
    frame_bytes: unsigned(17)       # before padding
    address_sum: unsigned(18)       # of the two IPv4 addresses
    tcp_sum: unsigned(24)           # of pseudo header and TCP header with options, carries not folded


class FrameRequest(data.Struct):
    """A frame whose payload is stored and whose checksums are known."""
    body: OutputBody
    arp: unsigned(1)
    options: unsigned(len(OPTIONS))
    header_bytes: unsigned(7)
    frame_bytes: unsigned(14)
    payload_bytes: unsigned(14)     # in the payload buffer
    buffer: unsigned(1)             # which half
    ttl: unsigned(8)
    identification: unsigned(16)
    ip_checksum: unsigned(16)
    tcp_checksum: unsigned(16)
