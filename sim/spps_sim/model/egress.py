"""Reference model of the output processor: frames from the standards, byte by byte, and orders that are allowed.

Source: IEEE 802.3, RFC 791, RFC 826, RFC 9293, RFC 7323, RFC 2018, RFC 1071.
"""
import struct
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Output", "Waiting", "OrderError", "EgressModel", "internet_checksum", "arp_packet", "tcp_segment"]


class Output(NamedTuple):
    """What an OUTPUT message asks for.

    options: names in mss, wscale, sack_permitted, timestamp, sack. sack_more: further blocks, pairs (left, right).
    """

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
    sack_more: tuple = ()
    length: int = 0


def internet_checksum(data):
    """Return the RFC 1071 checksum of bytes, as a number."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def _ethernet(target, source, kind):
    return target.to_bytes(6, "big") + source.to_bytes(6, "big") + struct.pack("!H", kind)


def arp_packet(output, mac):
    """Return the ARP packet (RFC 826) of mac, local_ip to target_mac, remote_ip; `tcp_flags` is its operation."""
    ours = mac.to_bytes(6, "big")
    theirs = bytes(6) if output.tcp_flags == 1 else output.target_mac.to_bytes(6, "big")
    return (_ethernet(output.target_mac, mac, 0x0806) + struct.pack("!HHBBH", 1, 0x0800, 6, 4, output.tcp_flags)
            + ours + struct.pack("!I", output.local_ip) + theirs + struct.pack("!I", output.remote_ip))


def _options(output):
    parts = {
        "mss": struct.pack("!BBH", 2, 4, output.mss),
        "wscale": struct.pack("!BBBB", 1, 3, 3, output.wscale),
        "sack_permitted": bytes([4, 2, 1, 1]),
        "timestamp": struct.pack("!BBBBII", 1, 1, 8, 10, output.ts_val, output.ts_ecr),
        "sack": struct.pack("!BBBBII", 1, 1, 5, 10 + 8 * len(output.sack_more), output.sack_left, output.sack_right)
        + b"".join(struct.pack("!II", *block) for block in output.sack_more),
    }
    return b"".join(text for name, text in parts.items() if name in output.options)


def tcp_segment(output, mac, payload, *, identification=0, ttl=64):
    """Return the frame of a segment, without padding."""
    options = _options(output)
    words = 5 + len(options) // 4
    addresses = struct.pack("!II", output.local_ip, output.remote_ip)

    def tcp(checksum):
        return struct.pack("!HHIIBBHHH", output.local_port, output.remote_port, output.seq, output.ack, words << 4,
                           output.tcp_flags, output.window, checksum, 0) + options + payload

    pseudo = addresses + struct.pack("!BBH", 0, 6, len(tcp(0)))
    segment = tcp(internet_checksum(pseudo + tcp(0)))

    def ip(checksum):
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), identification, 0x4000, ttl, 6,
                           checksum) + addresses

    return _ethernet(output.target_mac, mac, 0x0800) + ip(internet_checksum(ip(0))) + segment


class OrderError(AssertionError):
    """A frame left that is wrong or not allowed to leave yet."""


@dataclass
class Waiting:
    """An output that came and whose frame has not left. payload: None, socket memory will refuse or refused it.

    lost: it has no MAC address.
    """

    output: Output
    payload: bytes | None
    bound: bool             # an earlier one of its identity that could not leave at once was there when it came
    lost: bool = False
    stored: bool = False    # its whole payload was handed over
    passed: int = 0         # later frames that left after that

    @property
    def fails(self):
        """Nothing leaves of it."""
        return self.payload is None or self.lost

    @property
    def held(self):
        """It has reason to wait."""
        return bool(self.output.length and not self.output.arp) or self.bound


def identity(output):
    """Return connection and leg on the wire; None for an ARP packet, which belongs to none."""
    if output.arp:
        return None
    return output.port, output.local_ip, output.remote_ip, output.local_port, output.remote_port


class EgressModel:
    """Counts, frames and order of a sequence of outputs, as hdl/spps/egress/README.md, "Order", requires.

    Rule 1: outputs of one identity leave in the order in which they came. Rules 2 and 3: an output may leave before an
    earlier one of another identity only if it has no payload and the earlier one is held: by its payload, or behind one
    of its own identity. Rule 4: once a payload is stored, at most MAY_PASS later outputs leave before it. `overtook`
    counts the outputs that left before an earlier one; if only before ones whose payload was unusable, they may or may
    not count: `overtook_failing`.

    Parameters
    ----------
    ports, max_frame : int
        Limits: number of ports; bytes of the longest frame.
    mac, ttl : int
        Registers.
    hop : callable
        hop(port, remote_ip) -> MAC address of the next hop, None if the neighbour table does not know it.
    """

    MAY_PASS = 3        # rule 4

    def __init__(self, ports, max_frame, mac, ttl=64, hop=lambda port, ip: None):
        self.hop = hop
        self.ports, self.max_frame, self.mac, self.ttl = ports, max_frame, mac, ttl
        self.identification = 0
        self.count = Counter()
        self.waiting = []           # in the order in which they came

    def bad_message(self):
        """Count a message with a wrong number of beats."""
        self.count["malformed"] += 1

    def wants_payload(self, output):
        """Tell whether socket memory is read for this output."""
        return bool(output.length) and not output.arp and self.refusal(output) is None

    def refusal(self, output):
        """Return the counter of an output of which nothing leaves, or None."""
        if not output.arp and len(_options(output)) > 40:
            return "malformed"
        if output.port >= self.ports:
            return "bad_port"
        if not output.arp and 54 + len(_options(output)) + output.length > self.max_frame:
            return "too_long"
        return None

    def came(self, output, payload):
        """Note an output that came. payload: what socket memory will answer, None when that will be unusable."""
        refusal = self.refusal(output)
        if refusal:
            self.count[refusal] += 1
            return
        own = identity(output)
        bound = own is not None and any(other.held for other in self.waiting if identity(other.output) == own)
        lost = not output.arp and not self.target(output)
        self.waiting.append(Waiting(output, payload if output.length else b"", bound, lost))
        if lost:
            self.count["unresolved"] += self.waiting[-1].payload is not None
            self.waiting[-1].stored = not self.wants_payload(output)    # it waits for nothing
        elif not output.arp and payload is not None and self.hop(output.port, output.remote_ip) is None:
            self.count["fallback"] += 1

    def target(self, output):
        """Return the MAC address that an output goes to, 0: none."""
        hop = None if output.arp else self.hop(output.port, output.remote_ip)
        return output.target_mac if hop is None else hop

    def answered(self):
        """Note that socket memory handed over the last word of the payload that was asked for first."""
        first = next(w for w in self.waiting if self.wants_payload(w.output) and not w.stored)
        first.stored = True
        self.count["read_error"] += first.payload is None

    def frame(self, waiting, identification):
        """Return the frame of a waiting output, padded."""
        output = waiting.output._replace(target_mac=self.target(waiting.output))
        if output.arp:
            frame = arp_packet(output, self.mac)
        else:
            frame = tcp_segment(output, self.mac, waiting.payload, identification=identification,
                                ttl=self.ttl)
        return frame.ljust(60, b"\0")

    def leaves(self, port, frame, suppression=False):
        """Return the output of a frame that leaves, or raise OrderError.

        suppression: frames of earlier outputs of its identity may be missing.
        """
        identification = self.identification
        if suppression and frame[12:14] == b"\x08\x00":       # those of the missing ones are missing too
            identification = int.from_bytes(frame[18:20], "big")
            if (identification - self.identification) % 0x10000 > 0x8000:
                raise OrderError(f"identification {identification} after {self.identification}")
        place = next((i for i, w in enumerate(self.waiting) if not w.fails and w.output.port == port
                      and self.frame(w, identification) == frame), None)
        if place is None:
            raise OrderError(f"unexpected frame {frame.hex()}")
        this, earlier = self.waiting[place], self.waiting[:place]
        if suppression:
            gone = [w for w in earlier
                    if identity(w.output) == identity(this.output) or self.wants_payload(this.output)]
        else:
            self._check_order(this, [w for w in earlier if not (w.fails and w.stored)])
            sound = any(not w.fails for w in earlier)
            self.count["overtook"] += sound
            self.count["overtook_failing"] += bool(earlier) and not sound
            # one that failed may have held others until now
            gone = [w for w in earlier if self.wants_payload(this.output)]
        self.waiting = [w for w in self.waiting if w is not this and not any(w is other for other in gone)]
        if not this.output.arp:
            self.identification = identification + 1 & 0xFFFF
        return this

    def _check_order(self, this, earlier):
        wants = self.wants_payload(this.output)
        if wants and not this.stored:
            raise OrderError(f"left before its payload came: {this.output}")
        for other in earlier:
            if not this.output.arp and identity(other.output) == identity(this.output):
                raise OrderError(f"left before {other.output} of its connection: {this.output}")
            if wants or not other.held:
                raise OrderError(f"left before {other.output}: {this.output}")
            if other.stored:
                other.passed += 1
                if other.passed > self.MAY_PASS:
                    raise OrderError(f"{other.passed} left before {other.output} since its payload came")
