"""Role, epoch, lease and takeover of one unit."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..lib import Counters
from .sync_frame import SyncHeader, older

__all__ = ["RoleControl"]


class RoleControl(wiring.Component):
    """Decides who is active, whether it may emit, and when the standby takes over.

    The active sends a heartbeat every `hb_interval`; an echo grants it a lease that counts from the heartbeat's own send
    time. The standby takes over `takeover_after` clocks after the last heartbeat it heard, provided that heartbeat said
    that the active depends on its echo. `takeover_after` must exceed `lease` by the clocks' drift.
    Source: patent §X.B (automatic and external discovery); architecture rules "takeover is O(1)", "no two masters".
    Parameters: none.
    Members, registers (clocks unless said otherwise):
        role_init: 1 active, 0 standby; taken after reset and when role_load pulses, which also lifts a fence.
        hb_interval: 0 none. lease. takeover_after: 0 never by itself. detector: 1 take over now (external discovery).
        tick_margin: ticks added at takeover.
        policy: 0 without a standby nothing is emitted; 1 with `grant`, once the lease is over, run unprotected.
        egress_disable: 1 emit nothing. isn_divider: clocks per step of the ISN clock, less one. isn_margin: steps added at
        takeover.
    Members, link: heard, echoed, newer, frame from `RecordApplier`; issued, confirmed: record numbers; idle: nothing is being
        applied; in `heartbeat`, `echo`: frames to send; deaf: to the applier.
    Members, ticks: now: the tick counter; tick_load, tick: it has to go on from `tick`.
    Members, out: active, epoch, emit_enable, protect, unprotected, lease_valid, fenced, peer_present; load and kick: one clock
        at takeover; cycles; isn_clock; takeovers; takeover_cycle: `cycles` of the last takeover.
    Latency: a lease that runs out clears emit_enable in the same clock; takeover 2 clocks after the deadline when idle.
    Throughput, Backpressure, Drop: none. Reset: see role_init; epoch 1.
    """

    COUNTERS = Counters({
        "takeover": "takeovers by this unit",
        "lease_lost": "leases that ran out",
        "fenced": "times that the other unit took the active role from this unit",
        "unsynced_echo": "echoes that grant no lease because the standby has missed records",
        "late_echo": "echoes that grant no lease because their heartbeat is older than the lease",
    })

    def __init__(self):
        super().__init__({
            "role_init": In(1), "role_load": In(1), "hb_interval": In(32), "lease": In(32), "takeover_after": In(32),
            "detector": In(1), "policy": In(1), "grant": In(1), "egress_disable": In(1), "isn_divider": In(16), "isn_margin": In(32),
            "tick_margin": In(32), "now": In(32), "tick_load": Out(1), "tick": Out(32),
            "heard": In(1), "echoed": In(1), "newer": In(1), "frame": In(SyncHeader), "issued": In(32), "confirmed": In(32),
            "idle": In(1),
            "heartbeat": Out(1), "echo": Out(1), "deaf": Out(1), "load": Out(1), "kick": Out(1),
            "active": Out(1), "epoch": Out(16, init=1), "emit_enable": Out(1), "protect": Out(1), "unprotected": Out(1),
            "lease_valid": Out(1), "fenced": Out(1), "peer_present": Out(1), "cycles": Out(32), "isn_clock": Out(32),
            "takeovers": Out(16), "takeover_cycle": Out(32), "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        self.taking_over = Signal()
        self.started = started = Signal()       # role_init has been taken after reset
        m.d.sync += [self.cycles.eq(self.cycles + 1), self.count.eq(0), started.eq(1)]
        m.d.comb += [
            self.emit_enable.eq(self.active & ~self.fenced & ~self.egress_disable & (self.unprotected | self.lease_valid)),
            self.protect.eq(self.active & ~self.unprotected),
            self.peer_present.eq(self.active & self.lease_valid),
        ]
        self._lease(m)
        self._watch(m)
        self._clock(m)
        self._heartbeat(m)
        with m.If(self.newer):
            with m.If(self.active):
                # the other unit has taken over: whatever we hold is history
                m.d.sync += [self.active.eq(0), self.fenced.eq(1), self.unprotected.eq(0), self.count.fenced.eq(1)]
            with m.Elif(~self.taking_over):
                m.d.sync += self.epoch.eq(self.frame.epoch)
        with m.If(self.role_load | ~started):
            m.d.sync += [self.active.eq(self.role_init), self.fenced.eq(0), self.unprotected.eq(0)]
        return m

    def _lease(self, m):
        """Active: lease left, counted down. The age of an echo is rounded up by the clocks its arithmetic takes."""
        left = Signal(32)
        age, fresh, synced = Signal(32), Signal(), Signal()
        m.d.comb += self.lease_valid.eq(left != 0)
        m.d.sync += [age.eq(self.cycles - self.frame.stamp + 3), fresh.eq(self.echoed & self.active),
                     synced.eq(Mux(self.unprotected, self.frame.number == self.issued, ~older(self.frame.number, self.confirmed)))]
        with m.If(self.lease_valid):
            m.d.sync += left.eq(left - 1)
            with m.If(self.active & (left == 1)):
                m.d.sync += self.count.lease_lost.eq(1)
        with m.If(fresh & self.active & ~self.newer):
            with m.If(~synced):
                # a standby that has missed records cannot protect anybody
                m.d.sync += self.count.unsynced_echo.eq(1)
            with m.Elif(age >= self.lease):
                m.d.sync += self.count.late_echo.eq(1)
            with m.Else():
                with m.If(self.lease - age > left):
                    m.d.sync += left.eq(self.lease - age)
                m.d.sync += self.unprotected.eq(0)
        with m.Elif(self.active & ~self.lease_valid & self.policy & self.grant & self.started):
            m.d.sync += self.unprotected.eq(1)
        with m.If(~self.active):
            m.d.sync += left.eq(0)

    def _watch(self, m):
        """Standby: silence since the last heartbeat, and takeover once what was received is applied."""
        silence, depends = Signal(32), Signal()
        self.known = known = Signal()       # of the active, since we are the standby
        standby = Signal()
        due = Signal()
        m.d.comb += [
            standby.eq(~self.active & ~self.fenced & self.started & ~self.role_load),
            due.eq(self.detector | known & depends & (self.takeover_after != 0) & (silence >= self.takeover_after)),
            self.deaf.eq(self.taking_over), self.echo.eq(self.heard & standby & ~self.taking_over),
        ]
        with m.If(silence != 0xFFFFFFFF):
            m.d.sync += silence.eq(silence + 1)
        with m.If(self.echo):
            m.d.sync += [silence.eq(0), known.eq(1), depends.eq(self.frame.kind[0])]
        with m.If(~standby):
            m.d.sync += [self.taking_over.eq(0), known.eq(0)]
        with m.Elif(~self.taking_over):
            m.d.sync += self.taking_over.eq(due & ~self.echo)
        with m.Elif(self.idle):
            m.d.comb += [self.load.eq(1), self.kick.eq(1)]
            m.d.sync += [self.taking_over.eq(0), self.active.eq(1), self.epoch.eq(self.epoch + 1), self.unprotected.eq(1),
                         self.takeovers.eq(self.takeovers + 1), self.takeover_cycle.eq(self.cycles), self.count.takeover.eq(1)]

    def _clock(self, m):
        """ISN clock and ticks: a standby takes the first it hears of, from then on is never behind, and jumps ahead at takeover."""
        divider = Signal(16)
        with m.If(divider >= self.isn_divider):
            m.d.sync += [divider.eq(0), self.isn_clock.eq(self.isn_clock + 1)]
        with m.Else():
            m.d.sync += divider.eq(divider + 1)
        with m.If(self.load):
            m.d.sync += self.isn_clock.eq(self.isn_clock + self.isn_margin)
        with m.Elif(self.heard & (~self.known | older(self.isn_clock, self.frame.clock))):
            m.d.sync += self.isn_clock.eq(self.frame.clock)
        m.d.sync += [self.tick_load.eq(self.load | self.heard & (~self.known | older(self.now, self.frame.tick))),
                     self.tick.eq(Mux(self.load, self.now + self.tick_margin, self.frame.tick))]

    def _heartbeat(self, m):
        timer = Signal(32)
        with m.If(~self.active | self.fenced | (self.hb_interval == 0)):
            m.d.sync += timer.eq(0)
        with m.Elif(timer + 1 >= self.hb_interval):
            m.d.comb += self.heartbeat.eq(1)
            m.d.sync += timer.eq(0)
        with m.Else():
            m.d.sync += timer.eq(timer + 1)
