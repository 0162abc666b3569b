"""Frames as the standards lay them out, for the monitor: Ethernet II, IPv4, TCP, and the sync format.

The offsets are those of RFC 791, RFC 9293, RFC 7323 and the published table of sync records. Nothing is imported from
the RTL packages: a mistake there cannot hide here.
"""
import struct
from dataclasses import dataclass, field

__all__ = ["CapturedFrame", "Segment", "SyncFrame", "is_announcement", "parse_segment", "parse_sync",
           "FIN", "SYN", "RST", "PSH", "ACK",
           "URG", "ones_sum", "before"]

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
SYNC_TYPE = 0x88B5


def before(a, b):
    """Return whether sequence number a is earlier than b (mod 2^32)."""
    return (a - b) & 0x80000000 != 0


def ones_sum(data):
    """Return the 16-bit ones-complement sum of bytes (RFC 1071); an odd length is padded with zero."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass
class CapturedFrame:
    """A captured frame."""

    time: int               # ns
    link: str               # "client", "server" or "sync"
    unit: "int | None"      # the SPPS that emits it; None: a peer does
    data: bytes


@dataclass
class Segment:
    """A TCP segment with its addresses as numbers; `problems` lists what RFC 791/9293 forbid."""

    src: tuple
    dst: tuple
    seq: int
    ack: int
    flags: int
    window: int
    payload: bytes
    options: dict = field(default_factory=dict)
    problems: list = field(default_factory=list)

    @property
    def length(self):
        """Sequence numbers occupied: payload plus SYN plus FIN."""
        return len(self.payload) + bool(self.flags & SYN) + bool(self.flags & FIN)


def _options(raw, problems):
    out, i = {}, 0
    while i < len(raw):
        kind = raw[i]
        if kind == 0:
            break
        if kind == 1:
            i += 1
            continue
        if i + 1 >= len(raw) or raw[i + 1] < 2 or i + raw[i + 1] > len(raw):
            problems.append("malformed TCP option")
            break
        out[kind] = raw[i + 2:i + raw[i + 1]]
        i += raw[i + 1]
    return out


def parse_segment(data):
    """Return the Segment in an Ethernet frame, or None when it is not IPv4/TCP.

    A VLAN tag with identifier 0 is a priority only (IEEE 802.1Q §6.9.1): the frame counts as untagged.
    """
    if data[12:14] == b"\x81\x00" and int.from_bytes(data[14:16], "big") % 4096 == 0:
        data = data[:12] + data[16:]
    if len(data) < 34 or data[12:14] != b"\x08\x00" or data[14] >> 4 != 4:
        return None
    ihl = (data[14] & 15) * 4
    total = struct.unpack_from("!H", data, 16)[0]
    if data[23] != 6:
        return None
    problems = []
    if ihl < 20 or 14 + total > len(data) or total < ihl + 20:
        return Segment((0, 0), (0, 0), 0, 0, 0, 0, b"", problems=["IPv4 length does not fit the frame"])
    if ones_sum(data[14:14 + ihl]) != 0xFFFF:
        problems.append("IPv4 header checksum")
    tcp = data[14 + ihl:14 + total]
    pseudo = data[26:34] + struct.pack("!BBH", 0, 6, len(tcp))
    if ones_sum(pseudo + tcp) != 0xFFFF:
        problems.append("TCP checksum")
    sport, dport, seq, ack, offset, flags, window = struct.unpack_from("!HHIIBBH", tcp)
    header = (offset >> 4) * 4
    if not 20 <= header <= len(tcp):
        problems.append("TCP data offset")
        header = 20
    src, dst = struct.unpack_from("!II", data, 26)
    return Segment((src, sport), (dst, dport), seq, ack, flags & 0x3F, window, tcp[header:],
                   _options(tcp[20:header], problems), problems)


def is_announcement(data):
    """Return whether a frame is gratuitous ARP (RFC 5227 §2.3, §3): its sender and its target are one address."""
    return data[12:14] == b"\x08\x06" and len(data) >= 42 and data[28:32] == data[38:42]


@dataclass
class SyncFrame:
    """A frame of the sync link; `lines` maps a line number to its eight words."""

    type: int
    epoch: int
    number: int
    conn: int
    kind: int
    stamp: int
    tick: int
    serial: int
    lines: dict

    def snd_una(self, leg):
        """Return SND.UNA of a leg, from line 0."""
        return self.lines[0][2 + 2 * leg]


STATE, CONFIRM, HEARTBEAT, ECHO, JOIN, START, HANDOVER = 1, 2, 3, 4, 5, 6, 7
#: kinds of STATE records
DELTA, FULL, RETIRE, END = 0, 1, 2, 3


def parse_sync(data):
    """Return the SyncFrame in a frame, or None when the frame is of another type or its length is wrong.

    The tag is not checked: whoever records frames need not know the key.
    """
    if len(data) < 64 or struct.unpack_from("!H", data, 12)[0] != SYNC_TYPE or data[14] != 4:
        return None
    epoch, number, conn, mask, kind_of, kind, _, stamp, _, tick, serial = struct.unpack_from("!HIHHBBHIIIQ", data, 16)
    lines, at = {}, 56
    if kind_of == STATE:
        for line in range(16):
            if mask >> line & 1:
                if at + 32 > len(data) - 8:
                    return None
                lines[line] = struct.unpack_from("!8I", data, at)
                at += 32
    return SyncFrame(kind_of, epoch, number, conn, kind, stamp, tick, serial, lines) if at + 8 == len(data) else None
