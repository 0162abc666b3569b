"""The always-on monitor: invariants I0 to I8, from captures alone, across any number of takeovers and rejoins.

It imports nothing from the RTL packages. Input is a list of `wire.CapturedFrame` in order of time: those of the client
link and of the server link, where frames of the pair name the unit that emits them, and those of the sync link.

| | invariant |
|---|---|
| I0 | Every emitted segment is well-formed: lengths, checksums. So is every sync frame; its serial is above those of |
| | all frames that its unit has sent before. |
| I1 | An ACK of data leaves only after the destination has acknowledged it and, while the active depends on its |
| | standby, after that has confirmed a record that says so. Record numbers never go back, across takeovers too, and |
| | each names one record. See `reign.Reign`. |
| I2 | Acknowledgement numbers and right window edges never go back. The edge of an endpoint may, by less than a unit |
| | of its window scale (RFC 7323 §2.4). The window of a source may close, to 0 and until the next acknowledgement |
| | number, after the source has sent again what is not acknowledged while its destination's window was 0. |
| I3 | The bytes sent to the destination are the source's, at the same offset; one FIN, at the source's. |
| I4 | One unit emits segments and gratuitous ARP in each epoch. One that was the active before takes over again only |
| | after it was the standby of the unit that followed it, and in a later epoch. See `reigns.Reigns`. |
| I5 | What the pair called protected survives the next failure: within a bound after the takeover such a connection |
| | emits a segment, acknowledges what its destination had acknowledged before, and is not reset. Any other one may |
| | be reset, and whatever its peers send is answered within the bound. END says that the standby has a full record |
| | of every connection that was established at START. A takeover is the first frame of the new unit |
| | on any link. See `resume.Resume`. |
| I6 | A stream that is not complete ends in RST, never in FIN. |
| I7 | Timestamps are monotonic, and in all segments or in none. The ISN and the options of a SYN do not change. |
| I8 | SACK blocks name bytes that the peer has sent: above the ACK, or, in the first block, below it (D-SACK). |
"""
import struct

from .reigns import Reigns
from .report import Report
from .resume import Resume
from .seen import SeenLeg, SeenStream
from .wire import ACK, FIN, RETIRE, RST, START, STATE, SYN, before, is_announcement, parse_segment, parse_sync

__all__ = ["Report", "check"]


class _Monitor:
    """State of `check` between two frames. In its methods "we" and "ours" are the pair, "peer" a host."""

    def __init__(self, resume_bound, lossy):
        self.report = Report()
        self.legs = {}
        self.pending = []           # client legs without a partner, oldest first
        self.serials = {}           # unit -> serial of its last sync frame
        self.links = {}             # conn id -> (leg keys, legs), until its end is recorded
        self.resume = Resume(self.report, resume_bound)
        self.reigns = Reigns(self.report, self.taken_over, lossy=lossy)

    def fail(self, invariant, time, text):
        self.report.fail(invariant, time, text)

    def taken_over(self, time, ended):
        for leg in list(self.legs.values()):
            # the client had no answer yet, so its SYN comes again, and the new active opens another server leg
            if leg.key[0] == "client" and leg.ours is None and leg.other and not ended.protects(leg):
                leg.other.other = leg.other.guess = None
                leg.other = leg.guess = None
                self.pending.append(leg)
        self.resume.take_over(time, self.legs.values(), ended.protects)

    # sync link -----------------------------------------------------------------------------
    def sync(self, frame):
        sync = parse_sync(frame.data)
        if sync is None:
            self.fail("I0", frame.time, "malformed sync frame")
            return
        if sync.serial <= self.serials.get(frame.unit, 0):
            self.fail("I0", frame.time, f"unit {frame.unit} sends a sync frame with serial {sync.serial:#x} again")
        self.serials[frame.unit] = sync.serial
        legs = ()
        if sync.type == STATE and not self.reigns.over(sync.epoch):
            if sync.kind == RETIRE:
                # this says nothing about a new connection with its addresses, whose SYN may have come before
                _, legs = self.links.pop(sync.conn, ((), ()))
            elif sync.lines:            # else it is of no connection
                if 2 in sync.lines and 8 in sync.lines:
                    self.bind(sync)
                _, legs = self.links.get(sync.conn, ((), ()))
        elif sync.type == START:
            legs = tuple(leg for leg in self.legs.values() if leg.key[0] == "client" and leg.lives() and leg.ours.acked
                         and leg.other and leg.other.ours and leg.other.ours.acked)
        self.reigns.sync(frame, sync, legs)

    def bind(self, sync):
        keys = []
        for line in (sync.lines[2], sync.lines[8]):
            link = "client" if line[0] >> 16 & 0xFF == 0 else "server"
            keys.append((link, (line[3], line[4] >> 16), (line[2], line[4] & 0xFFFF)))
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
            if frame.unit is not None and is_announcement(frame.data):
                self.reigns.emits(frame)
            return
        ours, reign = frame.unit is not None, None
        if ours:
            reign = self.reigns.emits(frame)
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
            leg.born = self.reigns.current if self.reigns.current.depends else None
            self.report.connections += frame.link == "client"
            if frame.link == "client" and not ours:
                self.pending.append(leg)
            elif frame.link == "server" and ours and self.pending:
                self.pair_by_order(leg)
        if leg is None:
            return
        if reign is not None:
            self.from_us(frame, segment, leg, reign)
        else:
            self.from_peer(frame, segment, leg)

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

        It does not while the active is sure to know the connection: then it is an attack, or a fault of the pair. Nor
        does a peer's second SYN while the first has no answer: the pair's SYN-ACK says which one counts.
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
        self.resume.peer_speaks(leg, frame.time)
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

    def from_us(self, frame, segment, leg, reign):
        self.resume.pair_speaks(leg, frame, segment)
        if segment.flags & RST:
            leg.reset = True
            return
        if segment.flags & SYN:
            self.our_syn(frame, segment, leg)
        if leg.ours is None:
            return
        self.timestamps(frame, segment, leg)
        if segment.flags & ACK and leg.peer is not None:
            self.our_ack(frame, segment, leg, reign)
            self.our_blocks(frame, segment, leg)
        self.our_data(frame, segment, leg)

    def our_syn(self, frame, segment, leg):
        fixed = {k: v for k, v in segment.options.items() if k != 8}
        syn = leg.syns.get((segment.ack - 1) & 0xFFFFFFFF) if segment.flags & ACK else None
        if syn and leg.ours and syn.seq != leg.peer.isn and not leg.lives():
            self.reigns.current.restart(leg)
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

    def our_ack(self, frame, segment, leg, reign):
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
        if offset > 1 and leg.other is not None and offset != leg.ack:
            self.ack_rule(frame, leg, offset, reign)
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

    def ack_rule(self, frame, leg, offset, reign):
        destination = leg.other.ours
        self.report.checks["I1"] += 1
        if destination is None or destination.acked < offset:
            have = destination.acked if destination else 0
            self.fail("I1", frame.time,
                      f"{leg.name()}: acknowledges offset {offset} before the destination did ({have})")
        elif lacking := reign.lacks(leg.other, offset):
            text = f"{leg.name()}: {lacking}"
            if not reign.doubt(frame.time, text):
                self.fail("I1", frame.time, text)

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

    def finish(self, end):
        self.reigns.settle()
        self.resume.finish(end)
        self.report.violations.sort(key=lambda violation: violation.time)
        return self.report


def check(frames, *, resume_bound=20_000_000, lossy=False):
    """Judge captured frames.

    Parameters
    ----------
    frames : iterable of CapturedFrame
        In order of time.
    resume_bound : int
        Bound of I5, ns.
    lossy : bool
        The sync link loses or damages frames, which captures at their senders do not show: an ACK without a
        confirmation is judged when the next heartbeat has said whether its unit was alone.

    Returns
    -------
    Report
    """
    monitor = _Monitor(resume_bound, lossy)
    end = 0
    for frame in frames:
        end = frame.time
        if frame.link == "sync":
            monitor.sync(frame)
        else:
            monitor.frame(frame)
    return monitor.finish(end)
