"""One deadline per connection, and the walk over all connections after a change of role."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import TimerSet
from ..layouts.event import Event, EventKind, TimerCause

__all__ = ["TimerUnit", "PACE"]

PACE = 4        # clocks from one entry of a scan to the next


class TimerUnit(wiring.Component):
    """Offers a TIMER event for each connection whose deadline has passed, and KICK events after `kick`.

    A deadline that the director took is off until the next set of that connection; the Done of that event brings one. A
    refused deadline or kick stays and is offered again on a later scan. Deadlines compare modulo 2^32: at most 2^31 ticks ahead.
    Source: patent §III.D (a timer event only while no other event of the flow is in flight).

    Parameters: params.
    Members: i_set: stream(TimerSet), deadline 0 = none; now: tick counter; o_timer: stream(Event), kind TIMER, subtype
    TimerCause, seq = now, conn; refused: In, in the clock in which o_timer is taken: the flow was busy; kick: pulse; scan_conn:
    Out, scan_valid: In, one clock later: does that connection exist; armed: number of deadlines; count: COUNTERS.
    Latency: a deadline is offered at most 4 * connections clocks after the tick, later if the director waits.
    Throughput: one set per 3 clocks.
    Backpressure: o_timer waiting stops the scan, never i_set. A tick costs a scan only while a deadline is armed or a kick
    is due; the scan is in the background and costs nobody else a clock.
    Drop: bad_conn (a set of a conn that does not exist). An offer that a set overtakes is not withdrawn: microcode may see a
    deadline that has not passed. Reset: a sweep disarms all; i_set waits.
    """

    COUNTERS = ("fired", "kicked", "refused", "bad_conn")

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i_set": In(stream.Signature(TimerSet)),
            "o_timer": Out(stream.Signature(Event)),
            "now": In(32),
            "refused": In(1),
            "kick": In(1),
            "scan_conn": Out(16),
            "scan_valid": In(1),
            "armed": Out(range(params.connections + 1)),
            "count": Out(unsigned(4)),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.connections
        entry_layout = data.StructLayout({"deadline": unsigned(32), "armed": unsigned(1), "kick": unsigned(1)})
        m.submodules.entries = entries = memory.Memory(shape=entry_layout, depth=n, init=[], attrs={"no_rw_check": 1})
        write, read = entries.write_port(), entries.read_port(domain="sync")
        entry = read.data
        fired, kicked, refused, bad = Signal(), Signal(), Signal(), Signal()
        m.d.sync += self.count.eq(Cat(fired, kicked, refused, bad))

        # the offer
        event = self.o_timer.payload
        settle = Signal()       # the offer was accepted: its entry has to be cleared
        renewed = Signal()      # the connection on offer has got another deadline meanwhile
        with m.If(self.o_timer.valid & self.o_timer.ready):
            m.d.sync += [self.o_timer.valid.eq(0), settle.eq(~self.refused)]
            m.d.comb += refused.eq(self.refused)
            with m.If(~self.refused):
                m.d.comb += [fired.eq(event.subtype == TimerCause.DEADLINE.value), kicked.eq(~fired)]

        # scan: a pass over all entries per tick, or while kicks are due
        scan = Signal(range(n))
        scanning = Signal()
        last_tick = Signal(32)
        due = Signal(range(n + 1))      # entries with a kick
        pace = Signal(range(PACE))
        with m.If(pace != 0):
            m.d.sync += pace.eq(pace - 1)
        # walk: marks the entries of all connections in use
        walk = Signal(range(n))
        walking, walk_again = Signal(), Signal()
        with m.If(self.kick):
            m.d.sync += [walking.eq(1), walk_again.eq(walking)]

        target = Signal(16)
        m.d.comb += [self.scan_conn.eq(walk), read.en.eq(1), read.addr.eq(target), write.addr.eq(target)]
        m.d.comb += write.data.eq(entry)        # what a state does not change stays
        was_armed, was_due = entry.armed, entry.kick

        with m.FSM():
            with m.State("SWEEP"):
                m.d.comb += [write.addr.eq(scan), write.data.as_value().eq(0), write.en.eq(1)]
                m.d.sync += scan.eq(scan + 1)
                with m.If(scan == n - 1):
                    m.next = "CHOOSE"
            with m.State("CHOOSE"):
                with m.If(settle):
                    m.d.sync += [target.eq(event.conn), settle.eq(0)]
                    m.next = "READ_SETTLE"
                with m.Elif(self.i_set.valid):
                    m.d.sync += target.eq(self.i_set.payload.conn)
                    m.next = "READ_SET"
                with m.Elif(walking):
                    m.d.sync += target.eq(walk)
                    m.next = "READ_WALK"
                with m.Elif(~self.o_timer.valid & (pace == 0)):
                    with m.If(scanning):
                        m.d.sync += [target.eq(scan), pace.eq(PACE - 1)]
                        m.next = "READ_SCAN"
                    with m.Elif((due != 0) | ((self.armed != 0) & (self.now != last_tick))):
                        m.d.sync += [scanning.eq(1), last_tick.eq(self.now)]
            for name in ("SETTLE", "SET", "WALK", "SCAN"):
                with m.State("READ_" + name):
                    m.next = name
            with m.State("SETTLE"):
                m.d.comb += write.en.eq(1)
                m.d.sync += renewed.eq(0)
                with m.If(event.subtype == TimerCause.KICK.value):
                    m.d.comb += write.data.kick.eq(0)
                    m.d.sync += due.eq(due - was_due)
                with m.Elif(~renewed):
                    m.d.comb += write.data.armed.eq(0)
                    m.d.sync += self.armed.eq(self.armed - was_armed)
                m.next = "CHOOSE"
            with m.State("SET"):
                wanted = self.i_set.payload
                arms = Signal()
                m.d.comb += [self.i_set.ready.eq(1), bad.eq(wanted.conn >= n), arms.eq(wanted.deadline != 0)]
                with m.If(~bad):
                    m.d.comb += [write.en.eq(1), write.data.deadline.eq(wanted.deadline), write.data.armed.eq(arms)]
                    m.d.sync += self.armed.eq(self.armed + arms - was_armed)
                    with m.If((self.o_timer.valid | settle) & (event.conn == wanted.conn)):
                        m.d.sync += renewed.eq(1)
                m.next = "CHOOSE"
            with m.State("WALK"):
                with m.If(self.scan_valid):
                    m.d.comb += [write.en.eq(1), write.data.kick.eq(1)]
                    m.d.sync += due.eq(due + (was_due == 0))
                m.d.sync += walk.eq(walk + 1)
                with m.If(walk == n - 1):
                    m.d.sync += [walking.eq(walk_again | self.kick), walk_again.eq(0)]
                m.next = "CHOOSE"
            with m.State("SCAN"):
                late = Signal()
                m.d.comb += late.eq(entry.armed & ~(self.now - entry.deadline)[31])
                with m.If(late | entry.kick):
                    m.d.sync += [
                        self.o_timer.valid.eq(1), renewed.eq(0),
                        event.kind.eq(EventKind.TIMER), event.seq.eq(self.now), event.conn.eq(target),
                        event.subtype.eq(Mux(entry.kick, TimerCause.KICK.value, TimerCause.DEADLINE.value)),
                    ]
                m.d.sync += scan.eq(scan + 1)
                with m.If(scan == n - 1):
                    m.d.sync += scanning.eq(0)
                m.next = "CHOOSE"
        return m
