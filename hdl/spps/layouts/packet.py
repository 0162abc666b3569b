"""Packet streams: the datapath between blocks that carry whole frames or payloads.

The first byte on the wire is the most significant byte of `data`, as in network order, so that a
waveform reads like a hex dump. `empty` counts the unused (least significant) bytes of the last word.
"""
from amaranth.hdl import unsigned
from amaranth.lib import data, stream

__all__ = ["packet_layout", "packet_signature", "link_layout", "spi4_signature"]


def packet_layout(width):
    """Return the layout of a word of a packet; `empty` and `err` (discard the packet) count with `last`."""
    return data.StructLayout({
        "data": unsigned(width),
        "port": unsigned(8),
        "empty": unsigned((width // 8 - 1).bit_length()),
        "last": unsigned(1),
        "err": unsigned(1),
    })


def packet_signature(width):
    """Return the signature of a stream of packets with `width` bits of data a word."""
    return stream.Signature(packet_layout(width))


def link_layout(width):
    """Return the layout of width // 16 SPI-4 words of a clock, lane 0 first on the wire; `ctl` marks control words."""
    return data.StructLayout({
        "data": data.ArrayLayout(unsigned(16), width // 16),
        "ctl": unsigned(width // 16),
    })


def spi4_signature(width):
    """Return the signature of a stream of SPI-4 words. They never wait: flow control is the FIFO status channel."""
    return stream.Signature(link_layout(width), always_ready=True)
