"""Reference model of failover: frame codec and tag, standby with its membership, gate, numbers modulo 2^32.

SipHash is written again from the paper of J.-P. Aumasson and D. J. Bernstein. The frame format is derived from its
published description (hdl/spps/failover/README.md), not from the RTL's tables.
"""
import struct
from dataclasses import dataclass

__all__ = ["STATE", "CONFIRM", "HEARTBEAT", "ECHO", "JOIN", "START", "HANDOVER", "NEEDED", "MEMBER", "DELTA",
           "FULL", "RETIRE", "END", "SyncFrame", "Guard", "Standby", "Gate", "before", "encode", "decode", "refusal",
           "siphash", "flow_keys"]

STATE, CONFIRM, HEARTBEAT, ECHO, JOIN, START, HANDOVER = 1, 2, 3, 4, 5, 6, 7
NEEDED, MEMBER = 1, 2       # kind of HEARTBEAT and START
ETHERTYPE = 0x88B5
VERSION = 4
HEADER = struct.Struct(">6s6sH BBHIHHBBHIIIQI2x")
TAG = 8             # bytes, at the end of a frame
NO_KEY = bytes(16)
STATIONS = tuple(bytes((2, 0, 0, 0, 0, 1 + n)) for n in (0, 1))
DELTA, FULL, RETIRE, END = 0, 1, 2, 3
#: lines of 32 bytes that a record of each kind carries
LINES = {DELTA: (0,), FULL: (0, 1, 2, 3, 8, 9), RETIRE: (0, 1, 2, 3, 8, 9), END: ()}
TCP = 6             # IP protocol of every connection in a record


def before(a, b, bits=32):
    """Return a < b for numbers modulo 2^bits."""
    return (a - b) % (1 << bits) >> bits - 1 == 1


def siphash(message, key, c=2, d=4):
    """SipHash-c-d of bytes under 16 key bytes, as 8 bytes (section 2.1 of the paper)."""
    k0, k1 = (int.from_bytes(key[at:at + 8], "little") for at in (0, 8))
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573
    mask = (1 << 64) - 1

    def rotate(x, n):
        return (x << n | x >> 64 - n) & mask

    def rounds(n):
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0, v2 = v0 + v1 & mask, v2 + v3 & mask
            v1, v3 = rotate(v1, 13) ^ v0, rotate(v3, 16) ^ v2
            v0 = rotate(v0, 32)
            v2, v0 = v2 + v1 & mask, v0 + v3 & mask
            v1, v3 = rotate(v1, 17) ^ v2, rotate(v3, 21) ^ v0
            v2 = rotate(v2, 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at:at + 8], "little")
        v3 ^= word
        rounds(c)
        v0 ^= word
    v2 ^= 0xFF
    rounds(d)
    return (v0 ^ v1 ^ v2 ^ v3).to_bytes(8, "little")


@dataclass(frozen=True)
class SyncFrame:
    """A sync frame: the fields of its header that carry information, and its lines."""

    type: int
    epoch: int
    number: int
    conn: int = 0
    kind: int = 0
    stamp: int = 0
    clock: int = 0
    tick: int = 0
    lines: tuple = ()       # 32-bit words, lowest line first
    unit: int = 0           # of the sender
    serial: int = 0
    heard: int = 0          # session of the other unit
    slot: int = 0           # of the key

    @property
    def session(self):
        """Upper half of the serial."""
        return self.serial >> 32


def encode(frame, key=NO_KEY):
    """Return the bytes of a frame with its tag."""
    mask = sum(1 << line for line in LINES[frame.kind]) if frame.type == STATE else 0
    body = struct.pack(f">{len(frame.lines)}I", *frame.lines)
    head = HEADER.pack(STATIONS[1 - frame.unit], STATIONS[frame.unit], ETHERTYPE, VERSION, frame.slot, frame.epoch,
                       frame.number, frame.conn, mask, frame.type, frame.kind, len(body), frame.stamp, frame.clock,
                       frame.tick, frame.serial, frame.heard)
    return head + body + siphash(head + body, key)


def decode(data, connections=1 << 16):
    """Return a SyncFrame, or None when the format is wrong. The tag is not looked at."""
    if len(data) < HEADER.size + TAG or len(data) % 8:
        return None
    (_, source, ethertype, version, slot, epoch, number, conn, mask, kind_of_frame, kind, length, stamp, clock, tick,
     serial, heard) = HEADER.unpack_from(data)
    if ethertype != ETHERTYPE or version != VERSION or not STATE <= kind_of_frame <= HANDOVER or slot > 1:
        return None
    lines = ()
    if kind_of_frame == STATE:
        if kind not in LINES or mask != sum(1 << line for line in LINES[kind]) or conn >= connections:
            return None
        if length != 32 * len(LINES[kind]) or len(data) != HEADER.size + length + TAG:
            return None
        lines = struct.unpack_from(f">{length // 4}I", data, HEADER.size)
    elif length or len(data) != HEADER.size + TAG:
        return None
    return SyncFrame(kind_of_frame, epoch, number, conn, kind & 3, stamp, clock, tick, lines, source[5] - 1, serial,
                     heard, slot)


class Guard:
    """What a unit takes from its peer: frames that are authentic, new, and from after it was heard of."""

    def __init__(self, unit, keys=(NO_KEY, NO_KEY), accept=1, session=0):
        self.unit, self.keys, self.accept, self.session = unit, list(keys), accept, session
        self.last = 0           # serial

    @property
    def heard(self):
        """Session of the peer."""
        return self.last >> 32

    def accepts(self, slot):
        """Whether tags of a slot are accepted: an empty one only while both are empty."""
        return self.accept >> slot & 1 and (self.keys[slot] != NO_KEY or self.keys == [NO_KEY, NO_KEY])

    def refuse(self, data, frame, active=False):
        """Why the frame is not taken, as the name of a counter, or None."""
        if data[:6] != STATIONS[self.unit] or data[6:12] != STATIONS[1 - self.unit]:
            return "foreign_frame"
        if not self.accepts(frame.slot):
            return "bad_key"
        if siphash(data[:-TAG], self.keys[frame.slot]) != data[-TAG:]:
            return "bad_tag"
        if frame.serial <= self.last:
            return "replayed"
        self.last = frame.serial
        if frame.heard < self.session and (active or frame.type != HEARTBEAT):
            return "unheard"
        return None


def refusal(data, err, guard, connections=1 << 16, active=False):
    """Why the RTL drops a frame, as the name of a counter, or None. err: the link reports an error."""
    frame = None if err else decode(data, connections)
    if frame is not None:
        return guard.refuse(data, frame, active)
    other = (not err and len(data) >= 16 and data[12:14] == ETHERTYPE.to_bytes(2, "big") and data[14] != VERSION)
    return "bad_version" if other else "bad_frame"


def flow_keys(lines):
    """Return [(leg, key)] of a full record.

    key: (src_ip, dst_ip, src_port, dst_port, protocol, iface) as the remote end sends them.
    """
    keys = []
    for leg, line in ((0, 2), (1, 8)):
        word = lines[8 * LINES[FULL].index(line):][:8]
        if word[3]:
            keys.append((leg, (word[3], word[2], word[4] >> 16, word[4] & 0xFFFF, TCP, word[0] >> 16 & 0xFF)))
    return keys


class Standby:
    """A standby: flowstate writes, lookup commands and numbers that follow from the frames it receives.

    It knows no connection at first. It joins with the first heartbeat, and takes records from the START that follows.

    guard: what it takes frames by; by default that of unit 1 without a key.
    """

    def __init__(self, epoch=1, guard=None):
        self.guard = guard or Guard(1)
        self.epoch, self.applied = epoch, 0
        self.member = self.complete = False
        self.active = False                     # the other unit has handed its role over
        self.asked = None                       # stamp of the first heartbeat that it answered by JOIN
        self.writes, self.lookups = [], []      # (conn, beat, data), (op, conn, leg, key)
        self.counts = {"applied": 0, "duplicate": 0, "out_of_order": 0, "stale_epoch": 0, "bad_frame": 0,
                       "bad_version": 0, "foreign_frame": 0, "bad_key": 0, "bad_tag": 0, "replayed": 0, "unheard": 0,
                       "unjoined_state": 0, "joined": 0, "excluded": 0, "ignored_start": 0, "early_handover": 0}

    def take(self, data, connections=1 << 16, err=False):
        """Take one frame, as bytes; err: the link reports an error."""
        reason = refusal(data, err, self.guard, connections)
        if reason is not None:
            self.counts[reason] += 1
            return
        frame = decode(data, connections)
        assert frame is not None
        if before(frame.epoch, self.epoch, 16):
            self.counts["stale_epoch"] += 1
        else:
            self.epoch = frame.epoch
            if frame.type == STATE:
                self._state(frame)
            elif frame.type == HEARTBEAT:
                self._heartbeat(frame)
            elif frame.type == START:
                self._start(frame)
            elif frame.type == HANDOVER:
                self._handover(frame)

    def _handover(self, frame):
        """Take the active role, in a new epoch, if this member has every record."""
        if not self.member or before(self.applied, frame.number):
            self.counts["early_handover"] += 1
            return
        self.active, self.member = True, False
        self.epoch = (self.epoch + 1) % (1 << 16)

    def _heartbeat(self, frame):
        if self.member and not frame.kind & MEMBER:
            self._leave()
        elif not self.member and self.asked is None:
            self.asked = frame.stamp

    def _leave(self):
        self.member, self.asked, self.complete = False, None, False
        self.counts["excluded"] += 1

    def _start(self, frame):
        if not self.member and self.asked is not None and not before(frame.stamp, self.asked):
            self.member, self.accepted, self.applied = True, frame.stamp, frame.number
            self.counts["joined"] += 1
        elif self.member and before(self.accepted, frame.stamp):
            self._leave()
        else:
            self.counts["ignored_start"] += 1

    def _state(self, frame):
        if not self.member:
            self.counts["unjoined_state"] += 1
            return
        following = (self.applied + 1) % (1 << 32)
        if frame.number != following:
            self.counts["duplicate" if before(frame.number, following) else "out_of_order"] += 1
            return
        self.applied = following
        self.counts["applied"] += 1
        if frame.kind == END:
            self.complete = True
            return
        if frame.kind != RETIRE:
            for place, line in enumerate(LINES[frame.kind]):
                for beat in range(4):
                    low, high = frame.lines[8 * place + 2 * beat:][:2]
                    self.writes.append((frame.conn, 4 * line + beat, high << 32 | low))
        if frame.kind != DELTA:
            for leg, key in flow_keys(frame.lines):
                self.lookups.append((1 if frame.kind == RETIRE else 0, frame.conn, leg, key))
        if frame.kind == RETIRE:
            self.lookups.append((2, frame.conn, None, None))


class Gate:
    """Order in which outputs may leave: gated ones in order, after their record is confirmed; the others in order."""

    def __init__(self):
        self.issued = self.confirmed = 0
        self.gated, self.free = [], []

    def command(self, message, gated):
        """Take an OUTPUT."""
        (self.gated if gated else self.free).append((self.issued, message))

    def record(self):
        """Take a record."""
        self.issued = (self.issued + 1) % (1 << 32)

    def confirm(self, number):
        """Take a cumulative confirmation; a number outside confirmed..issued has no effect."""
        if not before(number, self.confirmed) and not before(self.issued, number):
            self.confirmed = number

    def leave(self, message, gated):
        """Let an output leave. Raises AssertionError when it may not."""
        queue = self.gated if gated else self.free
        assert queue, f"nothing {'gated' if gated else 'free'} is held, but {message} left"
        tag, expected = queue.pop(0)
        assert message == expected, f"{message} left before {expected}"
        assert not gated or not before(self.confirmed, tag), (
            f"output of record {tag} left while {self.confirmed} was confirmed")
