"""Which of the eleven data states of patent §X.B are present in which cycle of a run.

The states are derived from what is seen outside: frames at the peers and at the pair, sync frames, and the pair's
status counters. S is the peer that sends the data, D the peer that receives them. A data segment passes the states in
order; several segments can be in different states in one cycle.

| state | the data or their ACK | from | to |
|---|---|---|---|
| 1 | not yet sent by S | start of the run | S sends |
| 2 | inside the SPPS, not at a core | the pair has taken the segment | its event is delivered to a core |
| 3 | at the core, not yet sent to D | delivery | last word on D's link |
| 4 | sent, not yet received by D | last word | D has it |
| 5 | received by D, its ACK under way | D has it | the pair has taken the ACK |
| 6 | ACK inside the SPPS, not at a core | the pair has taken the ACK | its event is delivered to a core |
| 7 | ACK at the core, no record yet | delivery | the sync record gets its number |
| 8 | recorded, not yet on the sync link | number | first word of the record |
| 9 | synchronization in progress | first word | the standby has confirmed the record |
| 10 | synchronized, no ACK to S yet | confirmation | last word of the ACK on S's link |
| 11 | ACK sent to S | last word | S has it |

States 6 to 8 differ from the patent. There the destination's TCP connection and the proxy are two parties, and state
7 is that the first has the ACK and the second not. Here both legs of a connection are one flowstate, which a core
updates in one event: the patent's state 7 cannot exist. Its states 6 (TCP does not have the ACK) and 8 (the proxy has
it, nothing is sent to S) are divided here into 6, 7 and 8. NOTE says so beside every table of states.

Between S's sending and the pair's taking a segment is on S's own link: that is none of the eleven. Events are matched
to frames by order, since a core takes the events of one connection in the order of their frames.
"""
from bisect import bisect_right

from ..backend.interface import FrameKind
from .wire import ACK, STATE, SYN, parse_segment, parse_sync

__all__ = ["NAMES", "NOTE", "STATES", "DataStates"]

STATES = range(1, 12)
#: short name of each state
NAMES = dict(zip(STATES, (
    "not yet sent", "in the SPPS, not at a core", "at the core, not sent on", "sent on, not received",
    "received, ACK under way", "ACK in the SPPS, not at a core", "ACK at the core, no record",
    "recorded, not on the link", "record under way", "confirmed, no ACK yet", "ACK sent")))
#: what a reader of a table of states has to know
NOTE = ("States 6 to 8 differ from the patent: both legs are one flowstate, so its state 7 (TCP has the ACK, the proxy "
        "does not) cannot exist. Here 6: the ACK is not at a core yet; 7: it is, without a record; 8: the record is "
        "not on the link yet.")
MASK = 0xFFFFFFFF


class _Milestone:
    """The times at which a growing number first reached its values."""

    def __init__(self):
        self._times, self._values = [], []

    def add(self, time, value):
        if not self._values or value > self._values[-1]:
            self._times.append(time)
            self._values.append(value)

    def reached(self, value):
        """Time at which the number was at least `value`, or None."""
        at = bisect_right(self._values, value - 1)
        return self._times[at] if at < len(self._times) else None


class DataStates:
    """Intervals of the states of one connection, from a run without a kill.

    Parameters
    ----------
    frames : list of RawFrame
        Frames of the pair.
    wire : list of tuple
        (cycle, port, what, bytes) at the peers; what is "sent" or "received", other words are ignored.
    marks : list of Mark
        Changes of the status words.
    unit : int
        Number of the active unit.

    Attributes
    ----------
    intervals : dict
        (direction, state) to a list of (first cycle, first cycle after); direction 0 is client to server.
    """

    def __init__(self, frames, wire, marks, unit=0):
        self.intervals = {(direction, state): [] for direction in (0, 1) for state in STATES}
        self._isn = {}              # (side, by peer) -> ISN
        self._frames = [(f, parse_segment(f.data) if f.kind in (FrameKind.IN, FrameKind.OUT) else None) for f in frames]
        self._wire = [(time, port, what, segment) for time, port, what, data in wire
                      if what in ("sent", "received") and (segment := parse_segment(data)) is not None]
        for frame, segment in self._frames:
            if segment is not None and segment.flags & SYN:
                self._isn.setdefault((frame.side, frame.kind is FrameKind.IN), segment.seq)
        self._delivered = self._delivery_times(marks, unit)
        self._numbers = {name: _Milestone() for name in ("issued", "confirmed")}
        for mark in marks:
            for name, milestone in self._numbers.items():
                if mark.name == f"{name}_{unit}":
                    milestone.add(mark.cycle, mark.value)
        if len(self._isn) == 4:
            for direction in (0, 1):
                self._classify(direction, unit)

    def _delivery_times(self, marks, unit):
        """{index of a taken frame: cycle in which its event was delivered}; timer events have no frame."""
        taken = [(i, f.cycle) for i, (f, _) in enumerate(self._frames) if f.kind is FrameKind.IN]
        times, at, before = {}, 0, 0
        for mark in marks:
            if mark.name != f"delivered_{unit}":
                continue
            for _ in range(mark.value - before):
                if at < len(taken) and taken[at][1] < mark.cycle:
                    times[taken[at][0]] = mark.cycle
                    at += 1
            before = mark.value
        return times

    def _offset(self, number, side, by_peer):
        return (number - self._isn[side, by_peer]) & MASK

    def _at_pair(self, side, kind, by_peer_data):
        """Milestones at the pair of one side: (taken or left, delivered) of data ends or of ACK numbers."""
        seen, delivered = _Milestone(), _Milestone()
        for i, (frame, segment) in enumerate(self._frames):
            if segment is None or frame.kind is not kind or frame.side != side:
                continue
            value = self._value(segment, side, kind is FrameKind.IN, by_peer_data)
            if value is not None:
                seen.add(frame.cycle, value)
                if i in self._delivered:
                    delivered.add(self._delivered[i], value)
        return seen, delivered

    def _value(self, segment, side, by_peer, data):
        """Return the end of the data of a segment, or what it acknowledges, as an offset; None if nothing."""
        if data:
            return self._offset(segment.seq, side, by_peer) + len(segment.payload) if segment.payload else None
        return self._offset(segment.ack, side, not by_peer) if segment.flags & ACK else None

    def _at_peer(self, side, what, data):
        milestone = _Milestone()
        for time, port, happened, segment in self._wire:
            if port == side and happened == what:
                value = self._value(segment, side, what == "sent", data)
                if value is not None:
                    milestone.add(time, value)
        return milestone

    def _records(self, destination, unit):
        """[(record number, offset that it commits)] and {record number: cycle of its first word on the link}."""
        numbers, started = [], {}
        for frame, _ in self._frames:
            if frame.kind != FrameKind.SYNC0 + unit:
                continue
            sync = parse_sync(frame.data)
            if sync is None or sync.type != STATE or 0 not in sync.lines or sync.number in started:
                continue
            started[sync.number] = frame.start
            numbers.append((sync.number, self._offset(sync.snd_una(destination), destination, False)))
        return numbers, started

    def _classify(self, direction, unit):
        source, destination = direction, 1 - direction
        sent = self._at_peer(source, "sent", True)
        taken, delivered = self._at_pair(source, FrameKind.IN, True)
        left, _ = self._at_pair(destination, FrameKind.OUT, True)
        arrived = self._at_peer(destination, "received", True)
        ack_taken, ack_delivered = self._at_pair(destination, FrameKind.IN, False)
        ack_left, _ = self._at_pair(source, FrameKind.OUT, False)
        ack_arrived = self._at_peer(source, "received", False)
        numbers, started = self._records(destination, unit)
        for end in sent._values:
            number = next((n for n, offset in numbers if offset >= end and offset < 1 << 31), None)
            times = [0, sent.reached(end), taken.reached(end), delivered.reached(end), left.reached(end),
                     arrived.reached(end), ack_taken.reached(end), ack_delivered.reached(end)]
            times += [None] * 3 if number is None else [
                self._numbers["issued"].reached(number), started[number], self._numbers["confirmed"].reached(number)]
            times += [ack_left.reached(end), ack_arrived.reached(end)]
            starts = [times[0], *times[2:12]]
            ends = [times[1], *times[3:13]]
            for state, start, stop in zip(STATES, starts, ends):
                if start is not None and stop is not None and start < stop:
                    self.intervals[direction, state].append((start, stop))

    def at(self, cycle, direction):
        """Return the states that are present in `cycle` for data of a direction, in order."""
        return [s for s in STATES if any(a <= cycle < b for a, b in self.intervals[direction, s])]

    def cycles(self, state, direction, first=0, last=1 << 62):
        """Return the cycles from `first` to `last` in which the state is present, in order."""
        return sorted({c for a, b in self.intervals[direction, state] for c in range(max(a, first), min(b, last + 1))})
