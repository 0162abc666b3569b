"""What the header parser hands to the event builder."""
from amaranth.hdl import unsigned
from amaranth.lib import data

from ..layouts.headers import TCP_BYTES

__all__ = ["FrameHeader"]


class Ipv4Fields(data.Struct):
    """Seven 32-bit words after the Ethernet header, read as IPv4 (RFC 791), least significant field first."""

    total_length: unsigned(16)
    service: unsigned(8)
    header_words: unsigned(4)
    version: unsigned(4)
    fragment_offset: unsigned(13)
    more_fragments: unsigned(1)
    flags: unsigned(2)
    identification: unsigned(16)
    checksum: unsigned(16)
    protocol: unsigned(8)
    ttl: unsigned(8)
    source: unsigned(32)
    destination: unsigned(32)
    rest: unsigned(64)


class ArpFields(data.Struct):
    """The same words read as ARP for IPv4 over Ethernet (RFC 826)."""

    protocol_type: unsigned(16)
    hardware_type: unsigned(16)
    operation: unsigned(16)
    protocol_size: unsigned(8)
    hardware_size: unsigned(8)
    sender_mac_hi: unsigned(32)
    sender_ip_hi: unsigned(16)
    sender_mac_lo: unsigned(16)
    target_mac_hi: unsigned(16)
    sender_ip_lo: unsigned(16)
    target_mac_lo: unsigned(32)
    target_ip: unsigned(32)


class TcpFields(data.Struct):
    """The first five words of a TCP segment (RFC 9293)."""

    destination_port: unsigned(16)
    source_port: unsigned(16)
    sequence: unsigned(32)
    acknowledgement: unsigned(32)
    window: unsigned(16)
    flags: unsigned(8)
    reserved: unsigned(4)
    offset: unsigned(4)
    urgent: unsigned(16)
    checksum: unsigned(16)


class IcmpFields(data.Struct):
    """The first nine words of an ICMP message (RFC 792, RFC 1191 §4), read as one that quotes a segment."""

    checksum: unsigned(16)
    code: unsigned(8)
    type: unsigned(8)
    next_mtu: unsigned(16)
    unused: unsigned(16)
    quoted: Ipv4Fields      # `rest`: its source, then its destination port, then its sequence number


class NetworkHeader(data.Union):
    """The 28 bytes after the Ethernet header."""

    words: data.ArrayLayout(32, 7)
    ipv4: Ipv4Fields
    arp: ArpFields


class SegmentHeader(data.Union):
    """The first 60 bytes of what an IPv4 datagram carries."""

    words: data.ArrayLayout(32, 15)
    tcp: TcpFields
    icmp: IcmpFields


class FrameHeader(data.Struct):
    """Headers of one frame as on the wire, and sums over them. Words beyond the end of the frame are undefined."""

    destination_mac: unsigned(48)
    source_mac: unsigned(48)
    ethertype: unsigned(16)
    port: unsigned(8)               # network: the port, or what the VLAN tag names
    unknown_vlan: unsigned(1)       # the VLAN tag names no network
    length: unsigned(16)            # bytes of the frame without its VLAN tag
    err: unsigned(1)                # of the frame's last word
    stored: unsigned(1)             # a payload packet went to the scratchpad
    ours: unsigned(1)               # IPv4: the destination is our address on this network
    network: NetworkHeader
    segment: SegmentHeader
    ip_sum: unsigned(21)            # 16-bit words of the IP header
    segment_sum: unsigned(30)       # 16-bit words of the segment, or ICMP message

    @property
    def tcp(self):
        """TCP header without options."""
        return self.segment.tcp

    @property
    def icmp(self):
        """ICMP message."""
        return self.segment.icmp

    @property
    def options(self):
        """Ten words behind the TCP header."""
        return self.segment.as_value()[8 * TCP_BYTES:]
