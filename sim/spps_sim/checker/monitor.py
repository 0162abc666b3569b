"""The always-on monitor: invariants I0 to I8, from captures alone.

It imports nothing from the RTL packages. Input is a list of `wire.CapturedFrame` in order of time: those of the client
link and of the server link, where frames of the pair name the unit that emits them, and those of the sync link.

| | invariant |
|---|---|
| I0 | Every emitted segment is well-formed: lengths, checksums. |
| I1 | An ACK of data leaves only after the destination has acknowledged it and a confirmed record says so. |
| I2 | Acknowledgement numbers and right window edges never go back. The edge of an endpoint may, by less than a unit |
| | of its window scale (RFC 7323 §2.4). The window of a source may close, to 0 and until the next acknowledgement |
| | number, after the source has sent again what is not acknowledged while its destination's window was 0. |
| I3 | The bytes sent to the destination are the source's, at the same offset; one FIN, at the source's. |
| I4 | One unit emits in each epoch. |
| I5 | Within a bound after a takeover, each connection emits a segment. A protected one, whose record was confirmed, |
| | is not reset and acknowledges what its destination had acknowledged before. A takeover is the first frame of the |
| | new unit on any link. |
| I6 | A stream that is not complete ends in RST, never in FIN. |
| I7 | Timestamps are monotonic, and in all segments or in none. The ISN and the options of a SYN do not change. |
| I8 | SACK blocks name bytes that the peer has sent: above the ACK, or, in the first block, below it (D-SACK). |
"""
import struct

from .report import Report
from .seen import SeenLeg, SeenStream
from .wire import ACK, CONFIRM, FIN, RETIRE, RST, STATE, SYN, before, parse_segment, parse_sync

__all__ = ["Report", "check"]


class _Monitor:
    """State of `check` between two frames. In its methods "we" and "ours" are the pair, "peer" a host."""

    def __init__(self, resume_bound):
        self.report = Report()
        self.legs = {}
        self.pending = []           # client legs without a partner, oldest first
        self.unit = None            # current emitter
        self.retired_units = set()
        self.resume_bound = resume_bound
        self.waiting = {}           # leg -> time by which it has to be heard of again
        self.owed = {}              # leg -> (offset to acknowledge, time by which)
        self.records = {}           # epoch -> list of (number, leg, offset) not yet confirmed
        self.links = {}             # conn id -> (leg keys, legs), until its end is recorded
        self.takeover_time = None
        self.epoch = None           # newest on the sync link
        self.heir = None            # unit whose takeover has been noticed

    def fail(self, invariant, time, text):
        self.report.fail(invariant, time, text)

    # sync link -----------------------------------------------------------------------------
    def sync(self, frame):
        sync = parse_sync(frame.data)
        if sync is None:
            self.fail("I0", frame.time, "malformed sync frame")
            return
        if self.epoch is None or (sync.epoch - self.epoch) & 0x8000 == 0:
            if self.epoch not in (None, sync.epoch) and frame.unit != self.unit:
                self.expect_all(frame.time, frame.unit)     # its first segment may come later
            self.epoch = sync.epoch
        if sync.type == STATE:
            if 2 in sync.lines and 8 in sync.lines:
                self.bind(sync)
            if sync.kind != RETIRE:
                _, legs = self.links.get(sync.conn, ((), ()))
                for number, leg in enumerate(legs):
                    if leg and leg.ours:
                        leg.records = True
                        commitment = leg.ours.offset(sync.snd_una(number))
                        self.records.setdefault(sync.epoch, []).append((sync.number, leg, commitment))
        elif sync.type == CONFIRM:
            keep = []
            for number, leg, offset in self.records.get(sync.epoch, ()):
                if before(sync.number, number):
                    keep.append((number, leg, offset))
                else:
                    leg.confirmed = max(leg.confirmed, offset)
                    leg.protected = True
            self.records[sync.epoch] = keep

    def bind(self, sync):
        keys = []
        for line in (sync.lines[2], sync.lines[8]):
            link = "client" if line[0] >> 16 & 0xFF == 0 else "server"
            keys.append((link, (line[3], line[4] >> 16), (line[2], line[4] & 0xFFFF)))
        if sync.kind == RETIRE:
            # the end of a connection says nothing about a new one with its addresses, whose SYN may have come before
            self.links.pop(sync.conn, None)
            return
        known, legs = self.links.get(sync.conn, (None, ()))
        if known != keys or None in legs:       # else the legs are those of the first record, whatever SYNs have come
            legs = [self.legs.get(key) for key in keys]
            self.links[sync.conn] = keys, legs
        first, second = legs
        if first and second and not first.other:
            self.join(first, second)

    def join(self, first, second):
        first.other, second.other = second, first
        if first in self.pending:
            self.pending.remove(first)

    # TCP legs ------------------------------------------------------------------------------
    def frame(self, frame):
        segment = parse_segment(frame.data)
        if segment is None:
            return
        ours = frame.unit is not None
        if ours:
            self.emitter(frame)
            for problem in segment.problems:
                self.fail("I0", frame.time, f"{problem} on the {frame.link} link")
            self.report.checks["I0"] += 1
        elif segment.problems:
            return                      # hostile or broken input: the pair must ignore it as well
        peer, pair = (segment.dst, segment.src) if ours else (segment.src, segment.dst)
        key = (frame.link, peer, pair)
        leg = self.legs.get(key)
        if segment.flags & SYN and not segment.flags & RST and (leg is None or self.reopens(leg, segment, ours)):
            leg = self.legs[key] = SeenLeg(key, leg.syns if leg is not None else {})
            self.report.connections += frame.link == "client"
            if frame.link == "client" and not ours:
                self.pending.append(leg)
            elif frame.link == "server" and ours and self.pending:
                self.pair_by_order(leg)
        if leg is None:
            return
        (self.from_us if ours else self.from_peer)(frame, segment, leg)

    def pair_by_order(self, leg):
        """Take the oldest client leg without a partner for the other leg, as long as there is no record."""
        free = [candidate for candidate in self.pending if not candidate.other and not candidate.reset]
        if free:
            leg.other = free[0]             # one-sided: a record says which client it really is
        for candidate in free:
            if candidate.guess is None:
                candidate.guess, leg.guess = leg, candidate
                return

    def reopens(self, leg, segment, ours):
        """Judge whether a SYN with a new ISN begins a new connection.

        It does not while the connection lives and is protected: then it is an attack, or a fault of the pair. Nor does
        a peer's second SYN while the first has no answer: the pair's SYN-ACK says which one counts.
        """
        sender = leg.ours if ours else leg.peer if leg.ours or leg.reset else None
        return sender is not None and segment.seq != sender.isn and not segment.flags & ACK and not leg.lives()

    def from_peer(self, frame, segment, leg):
        if segment.flags & SYN:
            leg.syns[segment.seq] = segment
            if leg.peer is None:
                leg.begin(segment)
        if leg.peer is None:
            return
        offset = leg.peer.offset(segment.seq)
        if leg.limit is not None and offset > leg.limit:
            return                      # beyond our window: the pair must ignore it as well
        if segment.flags & RST:         # of a SYN without an answer only the next number is acceptable
            leg.reset |= leg.ours is not None or (segment.seq - 1) & 0xFFFFFFFF in leg.syns
            return
        if leg.limit is not None:       # before, nobody has been told that we take anything
            self.peer_data(frame, segment, leg, offset)
        if segment.flags & ACK and leg.ours is not None:
            acked = leg.ours.offset(segment.ack)
            if acked <= leg.ours.sent:
                if acked >= leg.ours.acked:
                    leg.told_window(segment.window, acked > leg.ours.acked)
                leg.ours.acked = max(leg.ours.acked, acked)
        for source in (leg, leg.partner()):
            if source is not None and source.may_pause(source.ack or 0):
                source.paused_at = source.ack or 0

    def peer_data(self, frame, segment, leg, offset):
        if segment.payload and offset + len(segment.payload) > 0:
            conflict = leg.peer.put(offset, segment.payload)
            if conflict is not None:
                self.fail("I3", frame.time,
                          f"{leg.name()}: the peer itself retransmitted other bytes at offset {conflict}")
        if segment.flags & FIN:
            leg.peer.fin = offset + len(segment.payload)
        if segment.length and offset < leg.peer.sent:
            leg.again = max(leg.again, offset + segment.length)
        leg.peer.sent = max(leg.peer.sent, offset + segment.length)

    def emitter(self, frame):
        self.report.checks["I4"] += 1
        if self.unit is None:
            self.unit = frame.unit
        elif frame.unit != self.unit:
            if frame.unit in self.retired_units:
                self.fail("I4", frame.time,
                          f"unit {frame.unit} emits on the {frame.link} link after unit {self.unit} took over")
                return
            self.retired_units.add(self.unit)
            self.unit = frame.unit
            self.takeover(frame.time)

    def takeover(self, time):
        self.takeover_time = time
        self.report.takeovers.append(time)
        self.expect_all(time, self.unit)

    def expect_all(self, time, unit):
        """Demand a segment of every connection that is under way, within the bound: `unit` has taken over."""
        if self.heir == unit:
            return
        self.heir = unit
        for leg in self.legs.values():
            if leg.peer and leg.ours and not leg.reset and leg.other and leg.other.peer and not leg.finished():
                self.waiting[leg] = time + self.resume_bound
                known = leg.other.ours.acked if leg.is_protected() and leg.other.ours else 0
                if known > max(1, leg.ack or 0):
                    self.owed[leg] = known, time + self.resume_bound

    def from_us(self, frame, segment, leg):
        due = self.waiting.pop(leg, None)
        if due is not None:
            self.report.checks["I5"] += 1
            if frame.time > due:
                self.fail("I5", frame.time, f"{leg.name()}: first segment {frame.time - due} ns after the bound")
            if segment.flags & RST and leg.is_protected() and leg.other and not leg.other.reset:
                self.fail("I5", frame.time, f"{leg.name()}: reset by the takeover, though its record was confirmed")
        if segment.flags & RST:
            leg.reset = True
            return
        if segment.flags & SYN:
            self.our_syn(frame, segment, leg)
        if leg.ours is None:
            return
        self.timestamps(frame, segment, leg)
        if segment.flags & ACK and leg.peer is not None:
            self.our_ack(frame, segment, leg)
            self.our_blocks(frame, segment, leg)
        self.our_data(frame, segment, leg)

    def our_syn(self, frame, segment, leg):
        fixed = {k: v for k, v in segment.options.items() if k != 8}
        syn = leg.syns.get((segment.ack - 1) & 0xFFFFFFFF) if segment.flags & ACK else None
        if syn and leg.ours and syn.seq != leg.peer.isn and not leg.lives():
            leg.restart()       # what came before was the answer to an older SYN, late
        if leg.ours is None:
            leg.ours, leg.syn_options = SeenStream(segment.seq), fixed
            leg.our_scale = segment.options.get(3)
            leg.stamped["ours"] = 8 in segment.options
            if syn:
                leg.begin(syn)
            return
        self.report.checks["I7"] += 1
        if segment.seq != leg.ours.isn:
            self.fail("I7", frame.time, f"{leg.name()}: ISN {segment.seq} differs from {leg.ours.isn}")
        if fixed != leg.syn_options:
            self.fail("I7", frame.time, f"{leg.name()}: options of the SYN changed")

    def timestamps(self, frame, segment, leg):
        if not segment.flags & SYN and (8 in segment.options) != all(leg.stamped.values()):
            wrong = "that was not negotiated" if 8 in segment.options else "is missing"
            self.fail("I7", frame.time, f"{leg.name()}: a timestamp {wrong}")
        if len(segment.options.get(8, b"")) != 8:
            return
        value = int.from_bytes(segment.options[8][:4], "big")
        self.report.checks["I7"] += 1
        if leg.tsval is not None and before(value, leg.tsval):
            self.fail("I7", frame.time, f"{leg.name()}: TSval goes back from {leg.tsval} to {value}")
        leg.tsval = value

    def our_ack(self, frame, segment, leg):
        offset = leg.peer.offset(segment.ack)
        scale = leg.our_scale[0] if leg.our_scale and leg.peer_scale and not segment.flags & SYN else 0
        edge = offset + (segment.window << scale)
        self.report.checks["I2"] += 1
        if leg.ack is not None and offset < leg.ack:
            self.fail("I2", frame.time, f"{leg.name()}: acknowledgement goes back from offset {leg.ack} to {offset}")
        rounding = (1 << scale) - 1 if leg.other is None else 0
        paused = segment.window == 0 and (leg.paused_at == offset or leg.may_pause(offset))
        if leg.edge is not None and edge < leg.edge - rounding and not segment.flags & SYN and not paused:
            self.fail("I2", frame.time, f"{leg.name()}: right window edge goes back from offset {leg.edge} to {edge}")
        if offset > leg.peer.sent:
            self.fail("I1", frame.time, f"{leg.name()}: acknowledges offset {offset}, the peer sent {leg.peer.sent}")
        if leg in self.owed and offset >= self.owed[leg][0]:
            self.settle(leg, frame.time)
        if offset > 1 and leg.other is not None and offset != leg.ack:
            self.ack_rule(frame, leg, offset)
        leg.ack = offset if leg.ack is None else max(leg.ack, offset)
        leg.limit = edge if leg.limit is None else max(leg.limit, edge)
        if not segment.flags & SYN:
            leg.edge = edge if leg.edge is None else max(leg.edge, edge)

    def our_blocks(self, frame, segment, leg):
        ack = leg.peer.offset(segment.ack)
        for number, edges in enumerate(struct.iter_unpack("!II", segment.options.get(5, b""))):
            left, right = (leg.peer.offset(edge) for edge in edges)
            self.report.checks["I8"] += 1
            if not left < right or left <= ack and (number or right > ack):
                self.fail("I8", frame.time, f"{leg.name()}: SACK block {number} is {left}..{right}, the ACK {ack}")
            elif left < 1 or not leg.peer.has(left, right):
                self.fail("I8", frame.time, f"{leg.name()}: SACKs offsets {left}..{right}, which the peer did not send")

    def ack_rule(self, frame, leg, offset):
        destination = leg.other.ours
        self.report.checks["I1"] += 1
        if destination is None or destination.acked < offset:
            have = destination.acked if destination else 0
            self.fail("I1", frame.time,
                      f"{leg.name()}: acknowledges offset {offset} before the destination did ({have})")
        elif leg.other.records and self.takeover_time is None and leg.other.confirmed < offset:
            self.fail("I1", frame.time,
                      f"{leg.name()}: acknowledges offset {offset}; the standby confirmed {leg.other.confirmed}")

    def our_data(self, frame, segment, leg):
        offset = leg.ours.offset(segment.seq)
        if segment.length > 1 and leg.reopened:
            leg.shut = False
        if segment.payload:
            self.report.checks["I3"] += 1
            conflict = leg.ours.put(offset, segment.payload)
            if conflict is not None:
                self.fail("I3", frame.time, f"{leg.name()}: other bytes than before at offset {conflict}")
            if leg.other is not None and leg.other.peer is not None:
                source = leg.other.peer
                want = bytes(source.bytes[offset - 1:offset - 1 + len(segment.payload)])
                if want != segment.payload or not all(source.known[offset - 1:offset - 1 + len(segment.payload)]):
                    self.fail("I3", frame.time, f"{leg.name()}: bytes at offset {offset} are not the source's")
        if segment.flags & FIN:
            at = offset + len(segment.payload)
            self.report.checks["I6"] += 1
            if leg.ours.fin is not None and leg.ours.fin != at:
                self.fail("I3", frame.time,
                          f"{leg.name()}: a second FIN at offset {at}, the first was at {leg.ours.fin}")
            leg.ours.fin = at
            if leg.other is not None and leg.other.peer is not None and leg.other.peer.fin != at:
                self.fail("I6", frame.time, f"{leg.name()}: FIN at offset {at}, the source's is {leg.other.peer.fin}")
        leg.ours.sent = max(leg.ours.sent, offset + segment.length)

    def settle(self, leg, time):
        offset, due = self.owed.pop(leg)
        self.report.checks["I5"] += 1
        if time > due and not leg.reset and not leg.other.reset:
            self.fail("I5", time, f"{leg.name()}: offset {offset}, acknowledged by the destination before the "
                                  "takeover, is overdue")

    def finish(self, end):
        for leg, due in self.waiting.items():
            self.report.checks["I5"] += 1
            if end > due and not leg.reset:
                self.fail("I5", end, f"{leg.name()}: silent since the takeover")
        for leg in list(self.owed):
            self.settle(leg, end)
        return self.report


def check(frames, *, resume_bound=20_000_000):
    """Judge captured frames.

    Parameters
    ----------
    frames : iterable of CapturedFrame
        In order of time.
    resume_bound : int
        Bound of I5, ns.

    Returns
    -------
    Report
    """
    monitor = _Monitor(resume_bound)
    end = 0
    for frame in frames:
        end = frame.time
        if frame.link == "sync":
            monitor.sync(frame)
        else:
            monitor.frame(frame)
    return monitor.finish(end)
