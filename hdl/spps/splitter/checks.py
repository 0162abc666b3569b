"""Checks of a frame's headers, in the order in which they are made."""
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from amaranth.hdl import Cat

from ..layouts.headers import (
    ARP_BYTES,
    ETHERNET_BYTES,
    ICMP_BYTES,
    ICMP_QUOTE_BYTES,
    IPV4_BYTES,
    TCP_BYTES,
    ArpOperation,
    EtherType,
    IcmpType,
    IpProtocol,
    TcpFlag,
)
from .verdict import Verdict

__all__ = ["CHECKS", "Check", "Facts", "Frames", "failures"]

_GROUP = 40                     # the bit of a MAC address that means broadcast or multicast
_ARP_ETHERNET, _MAC_BYTES, _IP_BYTES = 1, 6, 4      # RFC 826: hardware type, address lengths
_ONES = 0xFFFF                  # RFC 1071: sum over data with a right checksum in it


class Frames(Enum):
    """Which frames a check is about."""

    ALL = "all"
    IP = "ip"
    TCP = "tcp"
    ICMP = "icmp"


@dataclass(frozen=True)
class Facts:
    """What the checks look at, all Values. Early checks use the first four only.

    h: FrameHeader. mac: own address. is_ip, is_arp: its EtherType. segment: bytes of the TCP segment or ICMP message.
    segment_sum: 17-bit sum over it, for TCP with the pseudo header. own: the sender has one of our addresses.
    conflict: a sender of ARP has our address on its network.
    tcp_flag_filter: the host wants TCP_FLAGS.
    """

    h: Any
    mac: Any
    is_ip: Any
    is_arp: Any
    segment: Any = None
    segment_sum: Any = None
    own: Any = None
    conflict: Any = None
    tcp_flag_filter: Any = None

    @property
    def ip(self):
        """IPv4 header."""
        return self.h.network.ipv4

    @property
    def arp(self):
        """ARP message."""
        return self.h.network.arp

    @property
    def arp_sender(self):
        """MAC address of the sender of an ARP message."""
        return Cat(self.arp.sender_mac_lo, self.arp.sender_mac_hi)

    @property
    def tcp(self):
        """TCP header."""
        return self.h.tcp

    @property
    def icmp(self):
        """ICMP message."""
        return self.h.icmp

    @property
    def is_tcp(self):
        """IPv4 with a TCP segment."""
        return self.is_ip & (self.ip.protocol == IpProtocol.TCP)

    @property
    def is_icmp(self):
        """IPv4 with an ICMP message."""
        return self.is_ip & (self.ip.protocol == IpProtocol.ICMP)

    @property
    def ip_bytes(self):
        """Bytes of the IP header."""
        return (self.ip.header_words << 2)[:6]

    @property
    def tcp_bytes(self):
        """Bytes of the TCP header."""
        return (self.tcp.offset << 2)[:6]


@dataclass(frozen=True)
class Check:
    """A verdict, and the condition under which a frame gets it.

    frames: the check is about these only. early: the condition needs headers only, so that it is known before the
    payload goes to the scratchpad; a segment that fails an early check stores no payload.
    """

    verdict: Verdict
    failed: Callable[[Facts], Any]
    frames: Frames = Frames.ALL
    early: bool = False

    def fails(self, facts):
        """Value that is 1 when the frame fails this check."""
        failed = self.failed(facts)
        match self.frames:
            case Frames.IP:
                return facts.is_ip & failed
            case Frames.TCP:
                return facts.is_tcp & failed
            case Frames.ICMP:
                return facts.is_icmp & failed
        return failed


def _folded(total):
    """Return a ones-complement sum with its carries added once."""
    return total[:16] + total[16:]


def _no_host(address):
    """Return whether no host has this IP address: multicast, reserved, loopback, network 0 (RFC 1122 §3.2.1.3)."""
    return ~((address[24:] < 224) & (address[24:] != 127) & (address[24:] != 0))


def _runt(f):
    size = f.h.length
    return ((size < ETHERNET_BYTES) | f.is_ip & (size < ETHERNET_BYTES + IPV4_BYTES)
            | f.is_arp & (size < ETHERNET_BYTES + ARP_BYTES))


def _arp_malformed(f):
    arp = f.arp
    return f.is_arp & (
        (arp.hardware_type != _ARP_ETHERNET) | (arp.protocol_type != EtherType.IPV4)
        | (arp.hardware_size != _MAC_BYTES) | (arp.protocol_size != _IP_BYTES)
        | (arp.operation != ArpOperation.REQUEST) & (arp.operation != ArpOperation.REPLY)
        | arp.sender_mac_hi[_GROUP - 16] | (f.arp_sender == 0))


def _tcp_flags(f):
    has = {flag: (f.tcp.flags & flag).any() for flag in TcpFlag}
    opens = has[TcpFlag.SYN] & (has[TcpFlag.FIN] | has[TcpFlag.RST])
    return f.tcp_flag_filter & (~(has[TcpFlag.ACK] | has[TcpFlag.SYN] | has[TcpFlag.RST]) | opens)


def _icmp_quote(f):
    quoted = f.icmp.quoted
    return ((quoted.version != 4) | (quoted.header_words != IPV4_BYTES // 4) | (quoted.protocol != IpProtocol.TCP)
            | quoted.more_fragments | (quoted.fragment_offset != 0))


#: the first that fails is the verdict
CHECKS = (
    Check(Verdict.FRAME_ERROR, lambda f: f.h.err),
    Check(Verdict.RUNT, _runt),
    Check(Verdict.UNKNOWN_VLAN, lambda f: f.h.unknown_vlan, early=True),
    Check(Verdict.SOURCE_ADDRESS, lambda f: f.h.source_mac[_GROUP]),
    Check(Verdict.NOT_FOR_US, lambda f: (f.h.destination_mac != f.mac) & ~(f.h.destination_mac[_GROUP] & f.is_arp),
          early=True),
    Check(Verdict.IPV6, lambda f: f.h.ethertype == EtherType.IPV6),
    Check(Verdict.UNKNOWN_ETHERTYPE, lambda f: ~f.is_ip & ~f.is_arp),
    Check(Verdict.ARP_MALFORMED, _arp_malformed),
    Check(Verdict.IP_VERSION, lambda f: f.ip.version != 4, Frames.IP, early=True),
    Check(Verdict.IP_HEADER_LENGTH, lambda f: (f.ip.header_words < IPV4_BYTES // 4) | (f.ip.total_length < f.ip_bytes),
          Frames.IP, early=True),
    Check(Verdict.IP_LENGTH, lambda f: f.ip.total_length + ETHERNET_BYTES > f.h.length, Frames.IP),
    Check(Verdict.IP_CHECKSUM, lambda f: _folded(f.h.ip_sum) != _ONES, Frames.IP, early=True),
    Check(Verdict.SOURCE_ADDRESS, lambda f: _no_host(f.ip.source), Frames.IP),
    Check(Verdict.DESTINATION_ADDRESS, lambda f: _no_host(f.ip.destination), Frames.IP),
    Check(Verdict.NOT_OUR_ADDRESS, lambda f: ~f.h.ours, Frames.IP, early=True),
    Check(Verdict.IP_FRAGMENT, lambda f: f.ip.more_fragments | (f.ip.fragment_offset != 0), Frames.IP, early=True),
    Check(Verdict.UDP, lambda f: f.ip.protocol == IpProtocol.UDP, Frames.IP),
    Check(Verdict.UNKNOWN_PROTOCOL, lambda f: ~f.is_tcp & ~f.is_icmp, Frames.IP),
    Check(Verdict.ICMP_LENGTH, lambda f: f.segment < ICMP_BYTES, Frames.ICMP),
    Check(Verdict.ICMP_CHECKSUM, lambda f: _folded(f.segment_sum) != _ONES, Frames.ICMP),
    Check(Verdict.TCP_OFFSET, lambda f: f.tcp.offset < TCP_BYTES // 4, Frames.TCP, early=True),
    Check(Verdict.TCP_OFFSET, lambda f: (f.segment < TCP_BYTES) | (f.tcp_bytes > f.segment), Frames.TCP),
    Check(Verdict.TCP_CHECKSUM, lambda f: _folded(f.segment_sum) != _ONES, Frames.TCP),
    Check(Verdict.LAND, lambda f: (f.ip.source == f.ip.destination) & (f.tcp.source_port == f.tcp.destination_port),
          Frames.TCP),
    Check(Verdict.ADDRESS_CONFLICT, lambda f: f.is_arp & f.conflict & (f.arp_sender != f.mac)),
    Check(Verdict.OWN_ADDRESS, lambda f: f.own | f.is_arp & (f.arp_sender == f.mac)),
    Check(Verdict.TCP_PORT, lambda f: (f.tcp.source_port == 0) | (f.tcp.destination_port == 0), Frames.TCP),
    Check(Verdict.TCP_FLAGS, _tcp_flags, Frames.TCP),
    Check(Verdict.ICMP_REPLY, lambda f: f.icmp.type == IcmpType.ECHO_REPLY, Frames.ICMP),
    Check(Verdict.ICMP_ECHO, lambda f: (f.icmp.type == IcmpType.ECHO_REQUEST) & (f.icmp.code == 0), Frames.ICMP),
    Check(Verdict.ICMP_TYPE, lambda f: f.icmp.type != IcmpType.UNREACHABLE, Frames.ICMP),
    Check(Verdict.ICMP_QUOTE_SHORT, lambda f: f.segment < ICMP_BYTES + ICMP_QUOTE_BYTES, Frames.ICMP),
    Check(Verdict.ICMP_QUOTE, _icmp_quote, Frames.ICMP),
)


def failures(facts, *, early=False):
    """Return (verdict, Value that is 1 when the check fails) of all checks in order, or of the early ones.

    facts: Facts.
    """
    return [(check.verdict, check.fails(facts)) for check in CHECKS if check.early or not early]
