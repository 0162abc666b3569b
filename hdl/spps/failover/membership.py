"""Whether a standby takes records, and how it comes to."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..lib import Counters
from .sync_frame import SyncHeader, older

__all__ = ["Membership"]

KICK_PAUSE = 8      # clocks until `quiet` shows that a walk has begun


class Membership(wiring.Component):
    """Standby: forgets every connection, asks to join, and is a member from START on.

    A member has every record of the active, or will get it. It is no member any more when a heartbeat says so: then it
    has missed records. What it knows is forgotten at once, so that a standby that is made the active by force refuses
    connections instead of taking their numbers back.

    Members
    -------
    standby : In(1)
        This unit is the standby. While it is not, it is no member.
    auto_join, rejoin : In(1)
        Level: ask without being told to. One clock: be no member any more, and ask once.
    heard, started, frame : In(1), In(1), In(SyncHeader)
        A heartbeat, a START, and which; see `RecordApplier`.
    in_use, quiet : In(17), In(1)
        Connections known here; no event and no kick of one is under way.
    member : Out(1)
        This standby takes records.
    clean : Out(1)
        No connection is known here.
    begin : Out(1)
        One clock: it is a member, and continues from the number of `frame`.
    echo, join : Out(1)
        One clock: `frame` is to be answered by ECHO, by JOIN.
    kick : Out(1)
        One clock: every connection gets a KICK event, by which it is forgotten.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    An answer is asked for in the clock of the frame. Forgetting takes an event per connection.

    Drop
    ----
    A START that answers no JOIN since the last connection was forgotten.

    Reset
    -----
    No member.

    Source
    ------
    Patent §X.B; hdl/spps/failover/README.md, "Rejoin".
    """

    COUNTERS = Counters({
        "excluded": "times that the active said that this member is none any more, or sent it another START",
        "joined": "times that this unit became the member that takes the records of the active",
        "ignored_start": "START frames ignored because they answer no JOIN of this standby",
        "forget_walk": "walks that forget the connections of a standby",
    })

    def __init__(self):
        super().__init__({
            "standby": In(1), "auto_join": In(1), "rejoin": In(1),
            "heard": In(1), "started": In(1), "frame": In(SyncHeader), "in_use": In(17), "quiet": In(1),
            "member": Out(1), "clean": Out(1), "begin": Out(1), "echo": Out(1), "join": Out(1), "kick": Out(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        frame, member = self.frame, self.member
        wanted = Signal()                       # `rejoin` came
        asked, first = Signal(), Signal(32)     # a JOIN was sent, and the stamp of the first one
        accepted = Signal(32)                   # stamp of the START that made this unit a member
        pause = Signal(range(KICK_PAUSE + 1))
        m.d.sync += self.count.eq(0)
        m.d.comb += [
            self.clean.eq((self.in_use == 0) & self.quiet),
            self.echo.eq(self.standby & self.heard & member & frame.kind[1]),
            self.join.eq(self.standby & self.heard & ~member & self.clean & (self.auto_join | wanted)),
        ]
        with m.If(self.rejoin):
            m.d.sync += wanted.eq(1)
        with m.If(~self.standby | self.rejoin):
            m.d.sync += [member.eq(0), asked.eq(0)]
        with m.Elif(self.join):
            m.d.sync += asked.eq(1)
            with m.If(~asked):
                m.d.sync += first.eq(frame.stamp)
        with m.Elif(self.heard & member & ~frame.kind[1]):
            m.d.sync += [member.eq(0), asked.eq(0), self.count.excluded.eq(1)]
        with m.Elif(self.started):
            with m.If(~member & asked & ~older(frame.stamp, first)):
                m.d.comb += [self.begin.eq(1), self.echo.eq(1)]
                m.d.sync += [member.eq(1), wanted.eq(0), accepted.eq(frame.stamp), self.count.joined.eq(1)]
            with m.Elif(member & older(accepted, frame.stamp)):
                # the active has begun again, so records may be missing
                m.d.sync += [member.eq(0), asked.eq(0), self.count.excluded.eq(1)]
            with m.Else():
                m.d.sync += self.count.ignored_start.eq(1)

        with m.If(pause != 0):
            m.d.sync += pause.eq(pause - 1)
        with m.Elif(self.standby & ~member & self.quiet & (self.in_use != 0)):
            m.d.comb += self.kick.eq(1)
            m.d.sync += [pause.eq(KICK_PAUSE), self.count.forget_walk.eq(1)]
        return m
