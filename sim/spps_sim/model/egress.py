"""Reference model of the output processor: frames from the standards, byte by byte.

Source: IEEE 802.3, RFC 791, RFC 826, RFC 9293, RFC 7323, RFC 2018, RFC 1071.
"""
import struct
from collections import Counter
from typing import NamedTuple

__all__ = ["Output", "EgressModel", "internet_checksum", "arp_reply", "tcp_segment"]


class Output(NamedTuple):
    """What an OUTPUT message asks for; options: names in mss, wscale, sack_permitted, timestamp, sack."""
    arp: bool = False
    options: frozenset = frozenset()
    port: int = 0
    target_mac: int = 0
    local_ip: int = 0
    remote_ip: int = 0
    local_port: int = 0
    remote_port: int = 0
    seq: int = 0
    ack: int = 0
    window: int = 0
    tcp_flags: int = 0
    mss: int = 0
    wscale: int = 0
    ts_val: int = 0
    ts_ecr: int = 0
    sack_left: int = 0
    sack_right: int = 0
    length: int = 0


def internet_checksum(data):
    """RFC 1071 checksum of bytes, as a number."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _ethernet(target, source, kind):
    return target.to_bytes(6, "big") + source.to_bytes(6, "big") + struct.pack("!H", kind)


def arp_reply(output, mac):
    """RFC 826 reply: we (mac, local_ip) answer target_mac, remote_ip."""
    ours, theirs = mac.to_bytes(6, "big"), output.target_mac.to_bytes(6, "big")
    return (_ethernet(output.target_mac, mac, 0x0806) + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2)
            + ours + struct.pack("!I", output.local_ip) + theirs + struct.pack("!I", output.remote_ip))


def _options(output):
    parts = {
        "mss": struct.pack("!BBH", 2, 4, output.mss),
        "wscale": struct.pack("!BBBB", 1, 3, 3, output.wscale),
        "sack_permitted": bytes([4, 2, 1, 1]),
        "timestamp": struct.pack("!BBBBII", 1, 1, 8, 10, output.ts_val, output.ts_ecr),
        "sack": struct.pack("!BBBBII", 1, 1, 5, 10, output.sack_left, output.sack_right),
    }
    return b"".join(text for name, text in parts.items() if name in output.options)


def tcp_segment(output, mac, payload, *, identification=0, ttl=64):
    """The frame without padding."""
    options = _options(output)
    words = 5 + len(options) // 4
    addresses = struct.pack("!II", output.local_ip, output.remote_ip)

    def tcp(checksum):
        return struct.pack("!HHIIBBHHH", output.local_port, output.remote_port, output.seq, output.ack, words << 4,
                           output.tcp_flags, output.window, checksum, 0) + options + payload

    pseudo = addresses + struct.pack("!BBH", 0, 6, len(tcp(0)))
    segment = tcp(internet_checksum(pseudo + tcp(0)))

    def ip(checksum):
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), identification, 0x4000, ttl, 6, checksum) + addresses

    return _ethernet(output.target_mac, mac, 0x0800) + ip(internet_checksum(ip(0))) + segment


class EgressModel:
    """Counts and frames of a sequence of outputs. ports, max_frame: limits; mac, ttl: registers."""

    def __init__(self, ports, max_frame, mac, ttl=64):
        self.ports, self.max_frame, self.mac, self.ttl = ports, max_frame, mac, ttl
        self.identification = 0
        self.count = Counter()

    def bad_message(self, is_output):
        """A message that is no OUTPUT, or one with a wrong number of beats."""
        self.count["malformed" if is_output else "bad_kind"] += 1

    def wants_payload(self, output):
        """Whether socket memory is read for this output."""
        return bool(output.length) and not output.arp and self._refusal(output) is None

    def _refusal(self, output):
        if output.port >= self.ports:
            return "bad_port"
        if not output.arp and 54 + len(_options(output)) + output.length > self.max_frame:
            return "too_long"
        return None

    def emit(self, output, payload):
        """(port, frame) or None. payload: bytes from socket memory, None when the answer was unusable."""
        refusal = self._refusal(output)
        if refusal:
            self.count[refusal] += 1
            return None
        if output.arp:
            frame = arp_reply(output, self.mac)
        else:
            if output.length and payload is None:
                self.count["read_error"] += 1
                return None
            frame = tcp_segment(output, self.mac, payload if output.length else b"",
                                identification=self.identification, ttl=self.ttl)
            self.identification = self.identification + 1 & 0xFFFF
        return output.port, frame.ljust(60, b"\0")
