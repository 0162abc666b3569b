"""One deadline per connection, and the walk over all connections after a takeover."""
from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import TimerAnswer, TimerSet
from ..layouts.event import Event, EventKind, TimerCause
from ..lib.counters import Counters

__all__ = ["TimerUnit", "PACE"]

PACE = 4        # clocks from one entry of a scan to the next: choose, read, compare, and one for a set in between


class TimerUnit(wiring.Component):
    """Offers a TIMER event for each connection whose deadline has passed, and KICK events after `kick`.

    Each offer gets an answer. A deadline that the director took is off until the next set of that connection; the
    Done of that event brings one. A refused deadline or kick stays and is offered again on a later scan. One offer is
    under way at a time. Deadlines compare modulo 2^32: at most 2^31 ticks ahead.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.

    Members
    -------
    i_set : In(stream of TimerSet)
        New deadlines; deadline 0: none.
    o_timer : Out(stream of Event)
        Offers: kind TIMER, subtype TimerCause, `seq` = now, and `conn`. All else is zero.
    i_answer : In(stream of TimerAnswer)
        One per offer. Any number of registers may be between the offer, the director and the answer.
    now : In(32), ticks
        Tick counter.
    kick : In(1)
        Pulse: offer one KICK event for each connection in use.
    kick_ready : In(1)
        While 0 no KICK event is offered; deadlines are. One that is on offer stays.
    hold : In(1)
        While 1 no deadline is offered, however late.
    kicked : Out(1)
        One clock: the director has taken a KICK event. One that it refuses does not count, or a busy connection could
        take the turn of those behind it, pass after pass, from whoever paces the kicks by this.
    quiet : Out(1)
        No KICK event is due, no event is on offer, and none is without its answer. 0 from the clock after `kick`.
    scan_conn : Out(16)
        Connection that the walk looks at.
    scan_valid : In(1)
        It is in use; one clock later.
    armed : Out(range(connections + 1)), connections
        Deadlines set.
    count : Out(COUNTERS.layout)
        Pulses.

    Timing
    ------
    A deadline is offered at most 4 * connections clocks after its tick, later when the director waits. Throughput one
    set per 3 clocks. An offer or an answer that waits stops the scan, never `i_set`. An answer waits for the set or
    the entry in hand. A tick costs a scan only while a deadline is armed or a kick is due.

    Drop
    ----
    bad_conn : the set has no effect. An offer that a set overtakes is not withdrawn: microcode may see a deadline
    that has not passed.

    Reset
    -----
    A sweep disarms all, one clock per connection; `i_set` waits.

    Source
    ------
    Patent §III.D (a timer event only while no other event of the flow is in flight).
    """

    COUNTERS = Counters({
        "fired": "deadlines whose event the director took",
        "kicked": "kicks whose event the director took",
        "refused": "timer events that the director refused",
        "bad_conn": "deadlines for a connection that does not exist, ignored",
    })

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i_set": In(stream.Signature(TimerSet)),
            "o_timer": Out(stream.Signature(Event)),
            "i_answer": In(stream.Signature(TimerAnswer)),
            "now": In(32),
            "kick": In(1),
            "kick_ready": In(1, init=1),
            "hold": In(1),
            "kicked": Out(1),
            "quiet": Out(1),
            "scan_conn": Out(16),
            "scan_valid": In(1),
            "armed": Out(range(params.connections + 1)),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.connections
        entry_layout = data.StructLayout({"deadline": unsigned(32), "armed": unsigned(1), "kick": unsigned(1)})
        m.submodules.entries = entries = memory.Memory(shape=entry_layout, depth=n, init=[], attrs={"no_rw_check": 1})
        self._write, read = entries.write_port(), entries.read_port(domain="sync")
        write = self._write
        self._entry = entry = read.data
        m.d.sync += self.count.eq(0)

        self._asked = asked = Signal()      # the offer has been taken and has no answer yet
        self._renewed = Signal()            # the connection on offer has got another deadline meanwhile
        with m.If(self.o_timer.valid & self.o_timer.ready):
            m.d.sync += [self.o_timer.valid.eq(0), asked.eq(1)]

        # scan: a pass over all entries per tick, or while kicks are due
        self._scan = scan = Signal(range(n))
        self._scanning = scanning = Signal()
        last_tick = Signal(32)
        self._due = due = Signal(range(n + 1))      # entries with a kick
        pace = Signal(range(PACE))
        with m.If(pace != 0):
            m.d.sync += pace.eq(pace - 1)
        # walk: marks the entries of all connections in use
        self._walk = walk = Signal(range(n))
        self._walking, self._walk_again = walking, walk_again = Signal(), Signal()
        with m.If(self.kick):
            m.d.sync += [walking.eq(1), walk_again.eq(walking)]

        self._target = target = Signal(16)
        m.d.comb += [
            self.quiet.eq((due == 0) & ~walking & ~asked & ~self.o_timer.valid),
            self.scan_conn.eq(walk), read.en.eq(1), read.addr.eq(target), write.addr.eq(target),
            write.data.eq(entry),       # what a state does not change stays
        ]

        with m.FSM():
            with m.State("SWEEP"):
                m.d.comb += [write.addr.eq(scan), write.data.as_value().eq(0), write.en.eq(1)]
                m.d.sync += scan.eq(scan + 1)
                with m.If(scan == n - 1):
                    m.next = "CHOOSE"
            with m.State("CHOOSE"):
                with m.If(self.i_answer.valid):
                    m.d.sync += target.eq(self.i_answer.payload.conn)
                    m.next = "READ_SETTLE"
                with m.Elif(self.i_set.valid):
                    m.d.sync += target.eq(self.i_set.payload.conn)
                    m.next = "READ_SET"
                # The walk waits for an answer: a kick that is marked now is not the one that the answer is about.
                with m.Elif(walking & ~asked):
                    m.d.sync += target.eq(walk)
                    m.next = "READ_WALK"
                with m.Elif(~self.o_timer.valid & ~asked & (pace == 0)):
                    with m.If(scanning):
                        m.d.sync += [target.eq(scan), pace.eq(PACE - 1)]
                        m.next = "READ_SCAN"
                    with m.Elif((due != 0) | ((self.armed != 0) & (self.now != last_tick))):
                        m.d.sync += [scanning.eq(1), last_tick.eq(self.now)]
            for name in ("SETTLE", "SET", "WALK", "SCAN"):
                with m.State("READ_" + name):
                    m.next = name
            with m.State("SETTLE"):
                self._settle(m)
                m.next = "CHOOSE"
            with m.State("SET"):
                self._set(m)
                m.next = "CHOOSE"
            with m.State("WALK"):
                with m.If(self.scan_valid):
                    m.d.comb += [write.en.eq(1), write.data.kick.eq(1)]
                    m.d.sync += due.eq(due + (entry.kick == 0))
                m.d.sync += walk.eq(walk + 1)
                with m.If(walk == n - 1):
                    m.d.sync += [walking.eq(walk_again | self.kick), walk_again.eq(0)]
                m.next = "CHOOSE"
            with m.State("SCAN"):
                self._offer(m)
                m.next = "CHOOSE"
        return m

    def _settle(self, m):
        """State SETTLE: the answer. What was taken is over, unless it is a deadline that has been set anew."""
        event, entry, write, due = self.o_timer.payload, self._entry, self._write, self._due
        m.d.comb += self.i_answer.ready.eq(1)
        m.d.sync += self._asked.eq(0)
        with m.If(~self.i_answer.payload.taken):
            m.d.sync += self.count.refused.eq(1)
        with m.Elif(event.subtype == TimerCause.KICK.value):
            m.d.comb += [write.en.eq(1), write.data.kick.eq(0), self.kicked.eq(1)]
            m.d.sync += [due.eq(due - entry.kick), self.count.kicked.eq(1)]
        with m.Else():
            m.d.sync += self.count.fired.eq(1)
            with m.If(~self._renewed):
                m.d.comb += [write.en.eq(1), write.data.armed.eq(0)]
                m.d.sync += self.armed.eq(self.armed - entry.armed)

    def _set(self, m):
        """State SET: a new deadline."""
        wanted, entry, write = self.i_set.payload, self._entry, self._write
        arms = wanted.deadline != 0
        m.d.comb += self.i_set.ready.eq(1)
        with m.If(wanted.conn >= self.params.connections):
            m.d.sync += self.count.bad_conn.eq(1)
        with m.Else():
            m.d.comb += [write.en.eq(1), write.data.deadline.eq(wanted.deadline), write.data.armed.eq(arms)]
            m.d.sync += self.armed.eq(self.armed + arms - entry.armed)
            with m.If((self.o_timer.valid | self._asked) & (self.o_timer.payload.conn == wanted.conn)):
                m.d.sync += self._renewed.eq(1)

    def _offer(self, m):
        """State SCAN: an event for an entry that is due, and on to the next entry."""
        event, entry, scan = self.o_timer.payload, self._entry, self._scan
        late, kicks = Signal(), Signal()
        m.d.comb += [late.eq(entry.armed & ~(self.now - entry.deadline)[31] & ~self.hold),
                     kicks.eq(entry.kick & self.kick_ready)]
        with m.If(late | kicks):
            m.d.sync += [
                self.o_timer.valid.eq(1), self._renewed.eq(0),
                event.kind.eq(EventKind.TIMER), event.seq.eq(self.now), event.conn.eq(self._target),
                event.subtype.eq(Mux(kicks, TimerCause.KICK.value, TimerCause.DEADLINE.value)),
            ]
        m.d.sync += scan.eq(scan + 1)
        with m.If(scan == self.params.connections - 1):
            m.d.sync += self._scanning.eq(0)
