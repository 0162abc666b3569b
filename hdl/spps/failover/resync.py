"""The active's side of a rejoin: who may join, and when the standby has everything."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..lib import Counters
from .signature import JoinVerdict
from .sync_frame import SyncHeader, older

__all__ = ["Resync"]


class Resync(wiring.Component):
    """Active: answers JOIN with START, has every connection write a full record, and ends with an END record.

    A JOIN answers a heartbeat that was sent after the last START, so a copy of an old one has no effect. What both
    units must agree on is compared first.

    Members
    -------
    active : In(1)
        This unit is the active.
    joining, frame : In(1), In(SyncHeader)
        A JOIN, and which.
    cycles, lease : In(32), clocks
        `FailoverStatus.cycles`, `FailoverConfig.lease`.
    digest, size : In(32), In(16)
        What JOIN has to say.
    joined : In(1)
        A standby takes records.
    withdraw : In(1)
        One clock: the standby misses records from now on, until it joins again.
    accept : Out(1)
        One clock: START is to be sent. A standby that was joined is not any more.
    offered, start_stamp : Out(1), Out(32), clocks
        A START was sent, when, and nothing after it is missing. An echo of it, or of a later heartbeat, makes the
        standby join.
    pace, sync_ready, kicked : In(16), In(1), In(1)
        Clocks between KICK events; the replay ring has room; a KICK event is taken.
    exposed, sweeping : In(17), In(1)
        Established connections without a full record at the standby; the count is being made anew. JOIN is ignored
        meanwhile, so that no COVERED of the standby before waits for the end of the sweep.
    end, end_stored, issued, confirmed : Out(1), In(1), In(32), In(32)
        An END record is to be stored; it has been. Record numbers.
    begin : Out(1)
        One clock after `joined` rises: every connection gets a KICK event.
    uncover : Out(1)
        One clock: no connection has a record at the standby.
    kick_ready : Out(1)
        A KICK event may leave.
    resync : Out(1)
        The standby has joined, and END is not confirmed yet.
    clocks, joins, verdict : Out(32), Out(16), Out(2)
        Of the last resynchronization that ended; standbys joined since this unit became the active; of the last JOIN.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    START is asked for two clocks after JOIN.

    Drop
    ----
    JOIN frames, counted by reason.

    Reset
    -----
    No standby.

    Source
    ------
    Patent §X.B; hdl/spps/failover/README.md, "Rejoin".
    """

    COUNTERS = Counters({
        "late_join": "JOIN frames ignored: of a heartbeat before the last START or older than a lease, or in a sweep",
        "other_size": "JOIN frames refused because the standby holds another number of connections",
        "other_config": "JOIN frames refused because the configuration of the standby is not that of this unit",
        "resynced": "resynchronizations that ended: the standby has a record of every connection",
        "resync_broken": "resynchronizations that broke off: the standby is gone or joined again, or this unit is",
    })

    def __init__(self):
        super().__init__({
            "active": In(1), "joining": In(1), "frame": In(SyncHeader), "cycles": In(32), "lease": In(32),
            "digest": In(32), "size": In(16), "joined": In(1), "withdraw": In(1), "accept": Out(1), "offered": Out(1),
            "start_stamp": Out(32),
            "pace": In(16), "sync_ready": In(1), "kicked": In(1), "exposed": In(17), "sweeping": In(1),
            "end": Out(1), "end_stored": In(1), "issued": In(32), "confirmed": In(32),
            "begin": Out(1), "uncover": Out(1), "kick_ready": Out(1), "resync": Out(1),
            "clocks": Out(32), "joins": Out(16), "verdict": Out(2),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        frame = self.frame
        m.d.sync += self.count.eq(0)

        # JOIN: judged in the clock after it came
        asked, late, size, config, started = Signal(), Signal(), Signal(), Signal(), Signal()
        age = Signal(32)
        m.d.comb += age.eq(self.cycles - frame.stamp)
        m.d.sync += [
            asked.eq(self.joining & self.active),
            late.eq((age >= self.lease) | started & older(frame.stamp, self.start_stamp) | self.sweeping),
            size.eq(frame.conn == self.size), config.eq(frame.number == self.digest),
        ]
        with m.If(self.withdraw):
            m.d.sync += self.offered.eq(0)
        with m.If(asked):
            with m.If(late):
                m.d.sync += self.count.late_join.eq(1)
            with m.Elif(~size):
                m.d.sync += [self.count.other_size.eq(1), self.verdict.eq(JoinVerdict.SIZE)]
            with m.Elif(~config):
                m.d.sync += [self.count.other_config.eq(1), self.verdict.eq(JoinVerdict.CONFIG)]
            with m.Else():
                m.d.comb += self.accept.eq(self.active)
                m.d.sync += [self.offered.eq(1), started.eq(1), self.start_stamp.eq(self.cycles),
                             self.verdict.eq(JoinVerdict.TAKEN)]
        with m.If(~self.active):
            m.d.sync += [self.offered.eq(0), started.eq(0), self.joins.eq(0), self.verdict.eq(JoinVerdict.NONE)]

        was_joined, began = Signal(), Signal(32)
        m.d.sync += was_joined.eq(self.joined)
        m.d.comb += [self.begin.eq(self.joined & ~was_joined), self.uncover.eq(self.joined ^ was_joined)]

        # until the standby has everything
        number, waits = Signal(32), Signal()    # of END, which is not confirmed yet
        m.d.comb += self.end.eq(self.joined & was_joined & self.resync & ~waits & ~self.sweeping
                             & (self.exposed == 0))
        with m.If(~self.joined):
            m.d.sync += [self.resync.eq(0), waits.eq(0), self.count.resync_broken.eq(self.resync)]
        with m.Elif(self.begin):
            m.d.sync += [self.resync.eq(1), waits.eq(0), began.eq(self.cycles), self.joins.eq(self.joins + 1)]
        with m.Elif(self.end_stored):
            m.d.sync += [waits.eq(1), number.eq(self.issued + 1)]
        with m.Elif(self.resync & waits & ~older(self.confirmed, number)):
            m.d.sync += [self.resync.eq(0), waits.eq(0), self.clocks.eq(self.cycles - began),
                         self.count.resynced.eq(1)]

        timer = Signal(16)
        m.d.comb += self.kick_ready.eq(~self.resync | (timer == 0) & self.sync_ready)
        with m.If(self.kicked):
            m.d.sync += timer.eq(self.pace)
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        return m
