"""Numbers of the protocols, once for all RTL.

Models and the checker take theirs from the standards again, so that an error here is found.
Source: IANA EtherTypes; IEEE 802.1Q §9.6; RFC 791, RFC 792, RFC 1191, RFC 768, RFC 826, RFC 9293 §3.1, RFC 7323 §2.2
and §3.2, RFC 2018 §2 and §3.
"""
from amaranth.lib import enum

__all__ = ["ARP_BYTES", "ETHERNET_BYTES", "ETHERTYPE_BYTES", "ICMP_BYTES", "ICMP_QUOTE_BYTES", "IPV4_BYTES",
           "TCP_BYTES", "VLAN_ID_BITS",
           "ArpOperation", "EtherType", "IcmpType", "IpProtocol", "TcpFlag", "TcpOption", "Unreachable"]

#: bytes of a header without options
ETHERNET_BYTES, ARP_BYTES, IPV4_BYTES, TCP_BYTES, ICMP_BYTES = 14, 28, 20, 20, 8
#: of the datagram that an ICMP error is about, behind the ICMP header: its IP header and 64 bits
ICMP_QUOTE_BYTES = IPV4_BYTES + 8
ETHERTYPE_BYTES = 2
#: a VLAN tag ends with priority (3 bits), drop eligible (1) and this identifier
VLAN_ID_BITS = 12


class EtherType(enum.IntEnum, shape=16):
    """EtherType of an Ethernet II frame."""

    IPV4 = 0x0800
    ARP = 0x0806
    VLAN = 0x8100       # IEEE 802.1Q §9.4: a customer VLAN tag, with another EtherType behind it
    IPV6 = 0x86DD
    SYNC = 0x88B5       # IEEE 802 local experimental 1; our sync frames, see layouts.record


class ArpOperation(enum.IntEnum, shape=16):
    """Operation of an ARP packet."""

    REQUEST = 1
    REPLY = 2


class IpProtocol(enum.IntEnum, shape=8):
    """Protocol of an IPv4 datagram."""

    ICMP = 1
    TCP = 6
    UDP = 17


class IcmpType(enum.IntEnum, shape=8):
    """Type of an ICMP message."""

    ECHO_REPLY = 0
    UNREACHABLE = 3
    ECHO_REQUEST = 8


class Unreachable(enum.IntEnum, shape=8):
    """Code of an ICMP destination unreachable message."""

    PROTOCOL = 2
    PORT = 3
    TOO_BIG = 4         # fragmentation needed, and DF set; with the next-hop MTU of RFC 1191, or 0


class TcpFlag(enum.IntFlag, shape=8):
    """Control bits of a TCP segment; FIN is bit 0."""

    FIN = 1
    SYN = 2
    RST = 4
    PSH = 8
    ACK = 16
    URG = 32
    ECE = 64
    CWR = 128


class TcpOption(enum.IntEnum, shape=8):
    """Kind of a TCP option."""

    END = 0
    NOP = 1
    MSS = 2
    WSCALE = 3
    SACK_PERMITTED = 4
    SACK = 5
    TIMESTAMP = 8
