"""Frames that peers send: Ethernet II, ARP, IPv4, TCP, encoded from the standards.

Source: RFC 826 (ARP), RFC 791 and 1071 (IPv4), RFC 792 and 1191 (ICMP), RFC 9293 and 7323 (TCP). Decoding of segments
is `wire.parse_segment`.
"""
import struct
from typing import NamedTuple

from ..checker.wire import ones_sum

__all__ = ["mac_bytes", "ip_number", "ip_text", "ethernet", "tcp_frame", "Arp", "arp_frame", "parse_arp", "BROADCAST",
           "mss_option", "wscale_option", "sack_permitted_option", "sack_option", "timestamp_option", "Unreachable",
           "unreachable_frame", "parse_unreachable", "echo_frame"]

BROADCAST = b"\xff" * 6
ARP_TYPE, IPV4_TYPE, TCP_PROTOCOL, ICMP_PROTOCOL = 0x0806, 0x0800, 6, 1
ECHO_REPLY, UNREACHABLE, ECHO_REQUEST = 0, 3, 8     # ICMP types
MINIMUM = 60        # Ethernet's shortest frame, without FCS


def mac_bytes(text):
    """Return six bytes from text such as 02:00:00:00:00:01. Raises ValueError for other text."""
    raw = bytes.fromhex(text.replace(":", ""))
    if len(raw) != 6:
        raise ValueError(f"MAC address {text!r}: must be six bytes")
    return raw


def ip_number(text):
    """Return the 32-bit number of text such as 10.0.0.1. Raises ValueError for other text."""
    parts = [int(p) for p in text.split(".")]
    if len(parts) != 4 or not all(0 <= p < 256 for p in parts):
        raise ValueError(f"IPv4 address {text!r}: must be four numbers from 0 to 255")
    return int.from_bytes(bytes(parts), "big")


def ip_text(number):
    """Return the dotted text of a 32-bit number."""
    return ".".join(str(b) for b in number.to_bytes(4, "big"))


def ethernet(destination, source, ethertype, payload):
    """Return a frame without FCS, padded to 60 bytes."""
    return (destination + source + struct.pack("!H", ethertype) + payload).ljust(MINIMUM, b"\0")


def mss_option(value):
    """Return the maximum segment size option (RFC 9293 §3.7.1), bytes."""
    return struct.pack("!BBH", 2, 4, value)


def wscale_option(shift):
    """Return the window scale option (RFC 7323 §2.2), one NOP in front."""
    return bytes([1, 3, 3, shift])      # NOP in front keeps 32-bit alignment


def sack_permitted_option():
    """Return the SACK-permitted option (RFC 2018 §2), two NOPs behind."""
    return bytes([4, 2, 1, 1])          # RFC 2018 §2, two NOPs behind


def timestamp_option(value, echo):
    """Return the timestamps option (RFC 7323 §3.2), two NOPs in front."""
    return struct.pack("!BBBBII", 1, 1, 8, 10, value & 0xFFFFFFFF, echo & 0xFFFFFFFF)


def sack_option(blocks):
    """Return the SACK option (RFC 2018 §3) of pairs (left edge, right edge), two NOPs in front."""
    edges = [edge & 0xFFFFFFFF for block in blocks for edge in block]
    return bytes([1, 1, 5, 2 + 4 * len(edges)]) + struct.pack(f"!{len(edges)}I", *edges)


def tcp_frame(destination, source, src, dst, *, seq, ack, flags, window, payload=b"", options=b"", identification=0):
    """Return an Ethernet frame with one TCP segment.

    Parameters
    ----------
    destination, source : bytes
        MAC addresses.
    src, dst : tuple
        (IPv4 number, port).
    seq, ack, flags, window, identification : int
        Fields of the headers.
    payload, options : bytes
        Options are whole 32-bit words.

    Raises
    ------
    ValueError
        When the options are not.
    """
    if len(options) % 4:
        raise ValueError(f"{len(options)} bytes of options: must be a multiple of 4")
    header = struct.pack("!HHIIBBHHH", src[1], dst[1], seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, (5 + len(options) // 4) << 4,
                         flags, window, 0, 0)
    segment = bytearray(header + options + payload)
    pseudo = struct.pack("!IIBBH", src[0], dst[0], 0, TCP_PROTOCOL, len(segment))
    struct.pack_into("!H", segment, 16, ones_sum(pseudo + bytes(segment)) ^ 0xFFFF)
    ip = bytearray(struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(segment), identification & 0xFFFF, 0x4000, 64,
                               TCP_PROTOCOL, 0, src[0], dst[0]))
    struct.pack_into("!H", ip, 10, ones_sum(bytes(ip)) ^ 0xFFFF)
    return ethernet(destination, source, IPV4_TYPE, bytes(ip + segment))


class Arp(NamedTuple):
    """An ARP packet for IPv4 over Ethernet; operation 1 is a request, 2 a reply."""

    operation: int
    sender_mac: bytes
    sender_ip: int
    target_mac: bytes
    target_ip: int


def arp_frame(destination, packet):
    """Return an ARP packet as an Ethernet frame."""
    body = struct.pack("!HHBBH6sI6sI", 1, IPV4_TYPE, 6, 4, packet.operation, packet.sender_mac, packet.sender_ip,
                       packet.target_mac, packet.target_ip)
    return ethernet(destination, packet.sender_mac, ARP_TYPE, body)


def parse_arp(data):
    """Return the Arp in a frame, or None when there is none for IPv4 over Ethernet."""
    if len(data) < 42 or data[12:14] != b"\x08\x06":
        return None
    kind, packet = struct.unpack_from("!HHBB", data, 14), struct.unpack_from("!H6sI6sI", data, 20)
    return Arp._make(packet) if kind == (1, IPV4_TYPE, 6, 4) else None


class Unreachable(NamedTuple):
    """An ICMP destination unreachable message about a TCP segment: sender, addressee, and what it says and quotes."""

    src: int
    dst: int
    code: int
    next_mtu: int
    quoted_length: int
    quoted_src: tuple
    quoted_dst: tuple
    quoted_seq: int


def _icmp_frame(destination, source, src, dst, kind, code, rest, body):
    message = bytearray(struct.pack("!BBHI", kind, code, 0, rest) + body)
    struct.pack_into("!H", message, 2, ones_sum(bytes(message)) ^ 0xFFFF)
    ip = bytearray(struct.pack("!BBHHHBBHII", 0x45, 0, 20 + len(message), 0, 0, 64, ICMP_PROTOCOL, 0, src, dst))
    struct.pack_into("!H", ip, 10, ones_sum(bytes(ip)) ^ 0xFFFF)
    return ethernet(destination, source, IPV4_TYPE, bytes(ip + message))


def unreachable_frame(frame, src=None, dst=None, *, code=4, mtu=0, size=28, seq=None):
    """Return the frame in which a router says that it could not deliver the datagram of `frame`.

    src, dst: IPv4 numbers of the router, by default where the datagram was to go, and of whom it tells. mtu: next-hop
    MTU (RFC 1191 §4). size: bytes quoted. seq: quoted sequence number, if it is not that of the segment.
    """
    datagram = bytearray(frame[14:])
    if seq is not None:
        struct.pack_into("!I", datagram, 24, seq & 0xFFFFFFFF)
    ours, theirs = struct.unpack_from("!II", datagram, 12)
    return _icmp_frame(frame[6:12], frame[:6], theirs if src is None else src,
                       ours if dst is None else dst, UNREACHABLE, code, mtu,
                       bytes(datagram[:size]))


def echo_frame(destination, source, src, dst, payload, *, identifier=1, sequence=1):
    """Return a frame with an ICMP echo request. src, dst: IPv4 numbers."""
    return _icmp_frame(destination, source, src, dst, ECHO_REQUEST, 0, identifier << 16 | sequence, payload)


def parse_unreachable(data):
    """Return the Unreachable in a frame, or None when there is no good one about a TCP segment without IP options."""
    if len(data) < 14 + 20 + 8 + 28 or data[12:15] != b"\x08\0\x45" or data[23] != ICMP_PROTOCOL:
        return None
    message = data[34:14 + int.from_bytes(data[16:18], "big")]
    if ones_sum(message) != 0xFFFF or len(message) < 36 or message[0] != UNREACHABLE:
        return None
    quoted = message[8:]
    if quoted[0] != 0x45 or quoted[9] != TCP_PROTOCOL or int.from_bytes(quoted[6:8], "big") & 0x3FFF:
        return None
    (src, dst), (ours, theirs) = struct.unpack_from("!II", data, 26), struct.unpack_from("!II", quoted, 12)
    source, destination, seq = struct.unpack_from("!HHI", quoted, 20)
    return Unreachable(src, dst, message[1], int.from_bytes(message[6:8], "big"), int.from_bytes(quoted[2:4], "big"),
                       (ours, source), (theirs, destination), seq)
