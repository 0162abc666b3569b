"""The highest acknowledgement that a pair may send on each leg at each moment, from captures alone.

Source: patent §X.B (no ACK to the source before the data is committed at the destination and the standby knows it);
RFC 9293 §3.4 (numbers modulo 2^32; a SYN and a FIN take one each); the published sync format
(hdl/spps/failover/README.md) for what the standby has been told and what it has confirmed.

Numbers are offsets: 0 is the SYN, 1 the first byte. An offset of the source's stream is the same offset of the stream
sent on to the destination, for the life of the connection. The source may be acknowledged up to the least of

    arrived   what the pair has taken from the source without a gap
    acked     what the destination has acknowledged of the same stream
    stored    what confirmed records say of `acked`; without limit while the active has no standby

The SYN alone may be acknowledged as soon as the standby holds the full record of the connection.
"""
from dataclasses import dataclass, field

from ..backend.interface import FrameKind
from .wire import (
    ACK,
    CONFIRM,
    DELTA,
    ECHO,
    FULL,
    HEARTBEAT,
    RST,
    STATE,
    SYN,
    parse_segment,
    parse_sync,
)

__all__ = ["AckRule", "Acknowledgement", "AckReport", "judge"]

UNLIMITED = 1 << 31


def _offset(number, isn):
    """Signed distance; streams here are shorter than 2^31."""
    distance = (number - isn) & 0xFFFFFFFF
    return distance - (1 << 32) if distance & 0x80000000 else distance


class _Arrived:
    """End of the part of a stream that has arrived without a gap; pieces come in any order."""

    def __init__(self):
        self.end = 1        # the SYN is there, or there would be no full record
        self._pieces = []

    def add(self, start, end):
        self._pieces.append((start, end))
        for start, end in sorted(self._pieces):
            if start <= self.end:
                self.end = max(self.end, end)
        self._pieces = [piece for piece in self._pieces if piece[1] > self.end]


@dataclass
class _RuledLeg:
    """One side of a connection."""

    key: tuple
    iss: int                # of the pair's stream
    irs: int                # of the peer's stream
    arrived: _Arrived = field(default_factory=_Arrived)
    acked: int = 0          # of the pair's stream, by the peer
    stored: int = 0
    sent_ack: int = 0
    other: "_RuledLeg | None" = None
    known: bool = False     # the standby holds the full record
    due: "tuple | None" = None      # (offset, since): permitted and not yet acknowledged


@dataclass
class Acknowledgement:
    """One ACK that the pair has begun to send.

    Attributes
    ----------
    cycle, side, unit : int
        First word of its frame, network, and unit that sends it.
    offset : int
        What it acknowledges.
    permitted, arrived, acked, stored : int
        The prediction for that cycle.
    """

    cycle: int
    side: int
    unit: int
    offset: int
    permitted: int
    arrived: int
    acked: int
    stored: int

    @property
    def early(self):
        """Whether it acknowledges more than is permitted."""
        return self.offset > self.permitted


@dataclass
class AckReport:
    """Verdict on a run."""

    acknowledgements: list      # every Acknowledgement
    waits: list                 # cycles from a permission to the ACK that used it
    owed: list                  # (side, acknowledged, permitted) of legs that never used their permission
    violations: list            # texts


class AckRule:
    """Takes RawFrames in the order of `judge` and says at any time what may be acknowledged."""

    def __init__(self):
        self.legs = {}              # (side, peer, pair) -> _RuledLeg
        self.connections = {}       # local flow id -> (leg 0, leg 1)
        self.acknowledgements, self.waits, self.violations = [], [], []
        self._records = {}          # (unit, number) -> (connection, kind, line 0)
        self._issued = {}           # unit -> highest record number on the link
        self._epoch = self._active = None
        self._protected = True
        self._early = []            # segments of peers before the full record bound their connection

    def permitted(self, leg):
        """Return the highest offset that may be acknowledged on `leg` now; 0: nothing."""
        if self._protected and not leg.known:
            return 0
        source, destination = leg.arrived.end, leg.other
        stored = destination.stored if self._protected else UNLIMITED
        return max(1, min(source, destination.acked, stored))

    # the sync link ---------------------------------------------------------------------------
    def sync(self, frame):
        """Take a frame of the sync link."""
        sync = parse_sync(frame.data)
        if sync is None:
            return
        if sync.type in (STATE, HEARTBEAT):
            self._lead(frame.unit, sync.epoch)
        if sync.type == STATE:
            self._records[frame.unit, sync.number] = sync
            self._issued[frame.unit] = max(self._issued.get(frame.unit, 0), sync.number)
            if sync.kind == FULL:
                self._bind(sync)
        elif sync.type in (CONFIRM, ECHO) and sync.epoch == self._epoch and frame.unit != self._active:
            self._confirm(1 - frame.unit, sync)
        self._note(frame.cycle)

    def _lead(self, unit, epoch):
        """Note which unit is active; after a takeover it has no standby until all its records are confirmed."""
        if self._epoch is None or epoch > self._epoch:
            self._protected = self._epoch is None
            self._epoch, self._active = epoch, unit

    def _confirm(self, unit, sync):
        for key in [k for k in self._records if k[0] == unit and k[1] <= sync.number]:
            record = self._records.pop(key)
            for number, leg in enumerate(self.connections.get(record.conn, ())):
                if record.kind in (DELTA, FULL):
                    leg.known |= record.kind == FULL
                    leg.stored = max(leg.stored, _offset(record.snd_una(number), leg.iss))
        if not self._protected and sync.type == ECHO and sync.number == self._issued.get(unit, 0):
            self._protected = True

    def _bind(self, sync):
        """Read the legs from lines 2, 3 and 8, 9 of a full record.

        Lines 2 and 8: word 0 interface << 16, words 2 and 3 addresses, word 4 remote << 16 | local port. Lines 3 and 9
        begin with ISS and IRS.
        """
        legs = []
        for address, constants in ((2, 3), (8, 9)):
            words = sync.lines[address]
            key = words[0] >> 16 & 0xFF, (words[3], words[4] >> 16), (words[2], words[4] & 0xFFFF)
            iss, irs = sync.lines[constants][:2]
            old = self.legs.get(key)
            legs.append(old if old and (old.iss, old.irs) == (iss, irs) else _RuledLeg(key, iss, irs))
        for leg, other in zip(legs, reversed(legs)):
            leg.other = other
            self.legs[leg.key] = leg
        self.connections[sync.conn] = tuple(legs)
        early, self._early = self._early, []
        for key, segment in early:
            self._from_peer(key, segment)

    # the networks ------------------------------------------------------------------------------
    def network(self, frame):
        """Take a frame of the client or server network."""
        segment = parse_segment(frame.data)
        if frame.err or segment is None or segment.flags & RST:
            return
        if frame.kind is FrameKind.IN:
            if not segment.problems:
                self._from_peer((frame.side, segment.src, segment.dst), segment)
                self._note(frame.cycle)
        elif segment.flags & ACK:
            self._from_pair(frame, segment)

    def _from_peer(self, key, segment):
        leg = self.legs.get(key)
        if leg is None:
            self._early.append((key, segment))
            return
        start = _offset(segment.seq, leg.irs)
        if segment.flags & SYN and start:       # a new connection of the same ports
            del self.legs[key]
            self._early.append((key, segment))
            return
        leg.arrived.add(start, start + segment.length)
        if segment.flags & ACK:
            leg.acked = max(leg.acked, _offset(segment.ack, leg.iss))

    def _from_pair(self, frame, segment):
        leg = self.legs.get((frame.side, segment.dst, segment.src))
        if leg is None:
            self.violations.append(
                f"cycle {frame.start}: an ACK on side {frame.side} before any full record of its connection")
            return
        offset, allowed = _offset(segment.ack, leg.irs), self.permitted(leg)
        said = Acknowledgement(frame.start, frame.side, frame.unit, offset, allowed, leg.arrived.end, leg.other.acked,
                               leg.other.stored)
        self.acknowledgements.append(said)
        if said.early:
            self.violations.append(
                f"cycle {frame.start}: side {frame.side} acknowledges {offset}, permitted is {allowed} "
                f"(arrived {said.arrived}, acknowledged by the destination {said.acked}, "
                f"confirmed by the standby {said.stored})")
        if offset < leg.sent_ack:
            self.violations.append(f"cycle {frame.start}: side {frame.side} acknowledges {offset} after {leg.sent_ack}")
        leg.sent_ack = max(leg.sent_ack, offset)
        if leg.due and offset >= leg.due[0]:
            self.waits.append(frame.start - leg.due[1])
            leg.due = None

    def _note(self, cycle):
        """Remember since when a leg may acknowledge more than it has."""
        for leg in self.legs.values():
            if leg.other is not None and leg.due is None and (allowed := self.permitted(leg)) > leg.sent_ack:
                leg.due = allowed, cycle

    def report(self):
        """Return the AckReport so far."""
        owed = [(leg.key[0], leg.sent_ack, self.permitted(leg)) for leg in self.legs.values()
                if self.permitted(leg) > leg.sent_ack]
        return AckReport(self.acknowledgements, self.waits, owed, self.violations)


def judge(frames, until=None):
    """Judge RawFrames; returns an AckReport.

    A frame counts from its last word. What the pair sends on a network counts from its first word: the ACK must have
    been permitted then.

    Parameters
    ----------
    frames : iterable of RawFrame
        In any order.
    until : int, optional
        Cycle after which no frame is looked at.
    """
    rule = AckRule()

    def moment(frame):
        out = frame.kind is FrameKind.OUT
        return frame.start if out else frame.cycle, not out

    for frame in sorted(frames, key=moment):
        if until is not None and moment(frame)[0] > until:
            break
        (rule.network if frame.kind in (FrameKind.IN, FrameKind.OUT) else rule.sync)(frame)
    return rule.report()
