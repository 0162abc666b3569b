"""ICMP echo requests on their way from the splitter to the echo responder. Source: RFC 792, RFC 1122 §3.2.2.6."""
from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = ["EchoRequest", "message_word"]


class EchoRequest(data.Struct):
    """What the headers of a good echo request say. Its message is the one whose words came last."""

    mac: unsigned(48)           # who asks
    remote_ip: unsigned(32)
    local_ip: unsigned(32)      # whom: our address
    iface: unsigned(8)          # network
    length: unsigned(16)        # bytes of the message
    address_sum: unsigned(18)   # 16-bit words of both addresses


def message_word(width):
    """Return the layout of a word of an ICMP message, or of anything else in an IP datagram, from its first byte on.

    Unused bytes of the last word are zero.
    """
    return data.StructLayout({"data": unsigned(width), "first": 1})
