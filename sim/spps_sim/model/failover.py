"""Reference model of failover: frame codec, standby with its membership, gate, numbers modulo 2^32.

The frame format is derived from its published description (hdl/spps/failover/README.md), not from the RTL's tables.
"""
import struct
from dataclasses import dataclass

__all__ = ["STATE", "CONFIRM", "HEARTBEAT", "ECHO", "JOIN", "START", "NEEDED", "MEMBER", "DELTA", "FULL",
           "RETIRE", "END", "SyncFrame", "Standby", "Gate", "before", "encode", "decode", "flow_keys"]

STATE, CONFIRM, HEARTBEAT, ECHO, JOIN, START = 1, 2, 3, 4, 5, 6
NEEDED, MEMBER = 1, 2       # kind of HEARTBEAT and START
ETHERTYPE = 0x88B5
VERSION = 3
HEADER = struct.Struct(">6s6sH BBHIHHBBHIII6x")
DELTA, FULL, RETIRE, END = 0, 1, 2, 3
#: lines of 32 bytes that a record of each kind carries
LINES = {DELTA: (0,), FULL: (0, 1, 2, 3, 8, 9), RETIRE: (0, 1, 2, 3, 8, 9), END: ()}
MINIMUM = 64        # bytes of a frame without lines
TCP = 6             # IP protocol of every connection in a record


def before(a, b, bits=32):
    """Return a < b for numbers modulo 2^bits."""
    return (a - b) % (1 << bits) >> bits - 1 == 1


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


def encode(frame):
    """Return the bytes of a frame."""
    mask = sum(1 << line for line in LINES[frame.kind]) if frame.type == STATE else 0
    body = struct.pack(f">{len(frame.lines)}I", *frame.lines)
    station = [bytes((2, 0, 0, 0, 0, 1 + n)) for n in (0, 1)]
    head = HEADER.pack(station[1 - frame.unit], station[frame.unit], ETHERTYPE, VERSION, frame.type, frame.epoch,
                       frame.number, frame.conn, mask, frame.kind, 0, len(body), frame.stamp, frame.clock, frame.tick)
    return (head + body).ljust(MINIMUM, b"\0")


def decode(data, connections=1 << 16):
    """Return a SyncFrame, or None when the format is wrong."""
    if len(data) < HEADER.size or len(data) % 8:
        return None
    (_, source, ethertype, version, kind_of_frame, epoch, number, conn, mask, kind, _, length, stamp, clock,
     tick) = HEADER.unpack_from(data)
    if ethertype != ETHERTYPE or version != VERSION or not STATE <= kind_of_frame <= START:
        return None
    lines = ()
    if kind_of_frame == STATE:
        if kind not in LINES or mask != sum(1 << line for line in LINES[kind]) or conn >= connections:
            return None
        if length != 32 * len(LINES[kind]) or (len(data) != HEADER.size + length if length else len(data) > MINIMUM):
            return None
        lines = struct.unpack_from(f">{length // 4}I", data, HEADER.size)
    elif length or len(data) > MINIMUM:
        return None
    return SyncFrame(kind_of_frame, epoch, number, conn, kind & 3, stamp, clock, tick, lines, source[5] - 1)


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
    """

    def __init__(self, epoch=1):
        self.epoch, self.applied = epoch, 0
        self.member = self.complete = False
        self.asked = None                       # stamp of the first heartbeat that it answered by JOIN
        self.writes, self.lookups = [], []      # (conn, beat, data), (op, conn, leg, key)
        self.counts = {"applied": 0, "duplicate": 0, "out_of_order": 0, "stale_epoch": 0, "bad_frame": 0,
                       "bad_version": 0, "unjoined_state": 0, "joined": 0, "excluded": 0, "ignored_start": 0}

    def take(self, data, connections=1 << 16, err=False):
        """Take one frame, as bytes; err: the link reports an error."""
        frame = None if err else decode(data, connections)
        if frame is None:
            foreign = (not err and len(data) >= 16 and data[12:14] == ETHERTYPE.to_bytes(2, "big")
                       and data[14] != VERSION)
            self.counts["bad_version" if foreign else "bad_frame"] += 1
        elif before(frame.epoch, self.epoch, 16):
            self.counts["stale_epoch"] += 1
        else:
            self.epoch = frame.epoch
            if frame.type == STATE:
                self._state(frame)
            elif frame.type == HEARTBEAT:
                self._heartbeat(frame)
            elif frame.type == START:
                self._start(frame)

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
