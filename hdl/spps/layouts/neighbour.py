"""Next hops and their MAC addresses: what egress asks, what programs tell.

Source: RFC 826, RFC 1122 §2.3.2, §3.3.1.1.
"""
from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = ["ARP_RESOLVE", "MAC_BITS", "NETWORKS", "HopAnswer", "HopQuery", "Learned", "LearnArgument", "LearnBody"]

MAC_BITS = 48
#: networks with an address of ours, and so with next hops: `vip_0` on port 0, `vip_1` on port 1
NETWORKS = 2
#: subtype of an ARP event that the neighbour table makes; others have the ArpOperation of a frame. It looks like a
#: request that the next hop sent to the address of ours on its network: src_ip is the next hop, dst_ip our address,
#: and src_mac where our request goes, to the group of all stations or to the next hop itself
ARP_RESOLVE = 0


class HopQuery(data.Struct):
    """A datagram that leaves: its network and its destination."""

    iface: unsigned(8)
    ip: unsigned(32)


class HopAnswer(data.Struct):
    """MAC address of the next hop; without `found` it is not known."""

    mac: unsigned(MAC_BITS)
    found: unsigned(1)


class LearnArgument(data.Struct):
    """Argument of LEARN."""

    mac_hi: unsigned(16)
    iface: unsigned(8)
    create: unsigned(1)     # the ARP packet was for us: an address that is not in the table is taken too (RFC 826)
    spare: unsigned(7)


class LearnBody(data.Struct):
    """The one beat of LEARN: sender addresses of an ARP packet."""

    mac_lo: unsigned(32)
    ip: unsigned(32)


class Learned(data.Struct):
    """LEARN as the bus hands it over."""

    argument: LearnArgument
    body: LearnBody
