"""Role, epoch, lease and takeover of one unit."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..lib import Counters
from .signature import FailoverConfig, FailoverStatus, Policy
from .sync_frame import SyncHeader, older

__all__ = ["RoleControl"]


class RoleControl(wiring.Component):
    """Decides which unit is active, whether it may emit, and when the standby takes over.

    The active sends a heartbeat every `hb_interval`. An echo of it grants a lease that counts from the time the
    heartbeat was sent. The standby takes over `takeover_after` clocks after the last heartbeat it heard, provided
    that the active has said that it depends on echoes: in that heartbeat, or by a record, which it sends only then.
    `takeover_after` must exceed `lease` by the drift of the two clocks. Without a lease the active does what `policy`
    says.

    Members
    -------
    config : In(FailoverConfig)
        Registers.
    status : Out(FailoverStatus)
        Role, lease and clocks from here, record numbers and `sync_ready` as they come in.
    now : In(32), ticks
        The tick counter.
    tick_load, tick : Out(1), Out(32), ticks
        One clock: the tick counter continues from `tick`.
    heard, echoed, newer, frame : In(1), In(1), In(1), In(SyncHeader)
        Frames received, see `RecordApplier`.
    handed : In(1)
        One clock: the active has handed its role over to this standby.
    muted, yielded : In(1)
        This active emits nothing; it has given its lease up for the other unit, sends no heartbeat and takes no echo:
        see `SwitchOver`.
    begin, member, clean : In(1)
        A START counts as a heartbeat of this standby; it takes records; it knows no connection: see `Membership`.
    accept, offered, start_stamp : In(1), In(1), In(32)
        A standby asks to join; one has been told that it may, when: see `Resync`.
    recorded : In(1)
        One clock: this standby has applied a record.
    issued, confirmed, applied : In(32), record numbers
        The last record stored, confirmed, applied.
    sync_ready, idle : In(1)
        Of `RecordStore` and `RecordApplier`.
    heartbeat : Out(1)
        One clock: a frame of this type is to be sent.
    standby, deaf : Out(1)
        This unit is the standby; a takeover has begun, so that it hears no heartbeat.
    joined : Out(1)
        A standby takes records of this active.
    withdraw : Out(1)
        One clock: this active goes on without the standby, which misses records from now on.
    missing : Out(16), connections
        Those that the active says this standby has no record of.
    clean_before : Out(1)
        The active before this one had nothing that was not acknowledged: peers need not be made to send again.
    load, kick : Out(1)
        One clock at a takeover: the numbering continues from `applied`; every connection gets a timer event.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    `emit_enable` falls in the clock in which the lease ends. A takeover follows its deadline by 2 clocks when no
    record is being applied.

    Reset
    -----
    Role from `role_init`, epoch 1, no lease.

    Source
    ------
    Patent §X.B (automatic and external discovery); architecture rules "takeover is O(1)", "no two masters".
    """

    COUNTERS = Counters({
        "takeover": "takeovers by this unit",
        "handed_over": "takeovers by this unit because the other one handed its role over",
        "lease_lost": "leases that ran out",
        "fenced": "times that the other unit took the active role from this unit",
        "unsynced_echo": "echoes that grant no lease because the standby has missed records or has not joined",
        "alone": "times that this unit, as the active, went on without a standby",
        "late_echo": "echoes that grant no lease because their heartbeat is older than the lease",
    })

    def __init__(self):
        super().__init__({
            "config": In(FailoverConfig()), "status": Out(FailoverStatus()),
            "now": In(32), "tick_load": Out(1), "tick": Out(32),
            "heard": In(1), "echoed": In(1), "newer": In(1), "frame": In(SyncHeader),
            "handed": In(1), "muted": In(1), "yielded": In(1),
            "begin": In(1), "member": In(1), "clean": In(1),
            "accept": In(1), "offered": In(1), "start_stamp": In(32), "recorded": In(1),
            "issued": In(32), "confirmed": In(32), "applied": In(32), "sync_ready": In(1), "idle": In(1),
            "heartbeat": Out(1), "standby": Out(1), "deaf": Out(1), "joined": Out(1), "withdraw": Out(1),
            "missing": Out(16), "clean_before": Out(1),
            "load": Out(1), "kick": Out(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        config, status = self.config, self.status
        m = Module()
        self.taking_over = Signal()
        self.started = started = Signal()       # role_init has been taken after reset
        m.d.sync += [status.cycles.eq(status.cycles + 1), self.count.eq(0), started.eq(1)]
        m.d.comb += [
            status.emit_enable.eq(status.active & ~status.fenced & ~config.egress_disable & ~self.muted
                                  & (status.unprotected | status.lease_valid)),
            status.protect.eq(self.joined), status.joined.eq(Mux(status.active, self.joined, self.member)),
            status.peer_present.eq(status.active & status.lease_valid),
            status.issued.eq(self.issued), status.confirmed.eq(self.confirmed), status.applied.eq(self.applied),
            status.sync_ready.eq(self.sync_ready),
        ]
        self._lease(m)
        self._watch(m)
        self._clock(m)
        self._heartbeat(m)
        with m.If(self.newer):
            with m.If(status.active):
                # the other unit has taken over
                m.d.sync += [status.active.eq(0), status.fenced.eq(1), status.unprotected.eq(0), self.joined.eq(0),
                             self.count.fenced.eq(1)]
            with m.Elif(~self.taking_over):
                m.d.sync += status.epoch.eq(self.frame.epoch)
        with m.If(status.fenced & (config.auto_join | config.rejoin)):
            m.d.sync += status.fenced.eq(0)
        with m.If(config.role_load | ~started):
            m.d.sync += [status.active.eq(config.role_init), status.fenced.eq(0), status.unprotected.eq(0),
                         self.joined.eq(0)]
        return m

    def _lease(self, m):
        """Active: count down the rest of the lease. The age of an echo includes the clocks of its arithmetic.

        Without a lease this unit goes on when `policy` lets it. The first echo of a standby that was told to start
        ends that.
        """
        config, status, joined = self.config, self.status, self.joined
        left = Signal(32)
        age, fresh, synced = Signal(32), Signal(), Signal()
        m.d.comb += status.lease_valid.eq(left != 0)
        m.d.sync += [age.eq(status.cycles - self.frame.stamp + 3),
                     fresh.eq(self.echoed & status.active & ~self.yielded),
                     synced.eq(self.offered & ~older(self.frame.stamp, self.start_stamp)
                               & Mux(joined, ~older(self.frame.number, self.confirmed),
                                     self.frame.number == self.issued))]
        silence, patience, alone = Signal(32), Signal(33), Signal()
        m.d.sync += patience.eq(config.takeover_after + (config.takeover_after >> 1))
        with m.If(~status.active | fresh & synced):
            m.d.sync += silence.eq(0)
        with m.Elif(~silence.all()):
            m.d.sync += silence.eq(silence + 1)
        with m.Switch(config.policy):
            with m.Case(Policy.ARBITER):
                m.d.comb += alone.eq(config.grant)
            with m.Case(Policy.CONTINUE):
                m.d.comb += alone.eq(config.grant | (config.takeover_after != 0) & (silence >= patience))
        with m.If(status.lease_valid):
            m.d.sync += left.eq(left - 1)
            with m.If(status.active & (left == 1)):
                m.d.sync += self.count.lease_lost.eq(1)
        with m.If(fresh & status.active & ~self.newer & ~self.yielded):
            with m.If(~synced):
                # a standby that has missed records cannot take over the connections that they belong to
                m.d.sync += self.count.unsynced_echo.eq(1)
            with m.Elif(age >= config.lease):
                m.d.sync += self.count.late_echo.eq(1)
            with m.Else():
                with m.If(config.lease - age > left):
                    m.d.sync += left.eq(config.lease - age)
                m.d.sync += [status.unprotected.eq(0), joined.eq(1)]
        with m.Elif(status.active & ~status.lease_valid & ~status.unprotected & alone & self.started & ~self.yielded):
            m.d.comb += self.withdraw.eq(1)
            m.d.sync += [status.unprotected.eq(1), joined.eq(0), self.count.alone.eq(1)]
        with m.If(self.accept & joined):
            # the standby has lost what it knew, and takes over no more
            m.d.sync += [left.eq(0), joined.eq(0)]
            with m.If(config.policy == Policy.CONTINUE):
                m.d.sync += [status.unprotected.eq(1), self.count.alone.eq(1)]
        with m.If(self.yielded):
            m.d.sync += left.eq(0)
        with m.If(~status.active):
            m.d.sync += [left.eq(0), joined.eq(0)]

    def _watch(self, m):
        """Standby: time the silence since the last heartbeat; take over once no record is being applied."""
        config, status = self.config, self.status
        silence, depends, given, clean = Signal(32), Signal(), Signal(), Signal()
        self.known = known = Signal()       # a heartbeat was heard since this unit became the standby
        self.spoken = spoken = Signal()
        standby = self.standby
        due = Signal()
        m.d.comb += [
            standby.eq(~status.active & ~status.fenced & self.started & ~config.role_load),
            due.eq(config.detector | self.handed
                   | known & depends & self.member & (config.takeover_after != 0)
                   & (silence >= config.takeover_after)),
            self.deaf.eq(self.taking_over), spoken.eq((self.heard | self.begin) & standby & ~self.taking_over),
        ]
        with m.If(silence != 0xFFFFFFFF):
            m.d.sync += silence.eq(silence + 1)
        with m.If(spoken):
            m.d.sync += [silence.eq(0), known.eq(1), depends.eq(self.frame.kind[0])]
        with m.Elif(self.recorded):
            m.d.sync += depends.eq(1)
        with m.If(self.heard):
            m.d.sync += self.missing.eq(self.frame.conn)
        with m.If(~standby):
            m.d.sync += [self.taking_over.eq(0), known.eq(0)]
        with m.Elif(~self.taking_over):
            m.d.sync += [self.taking_over.eq(due & ~spoken), given.eq(self.handed),
                         clean.eq(self.handed & self.frame.kind[0])]
        with m.Elif(self.idle & (self.member | self.clean)):
            m.d.comb += [self.load.eq(1), self.kick.eq(1)]
            m.d.sync += [self.taking_over.eq(0), status.active.eq(1), status.epoch.eq(status.epoch + 1),
                         status.unprotected.eq(1), status.takeovers.eq(status.takeovers + 1),
                         status.takeover_cycle.eq(status.cycles), self.count.takeover.eq(1),
                         self.count.handed_over.eq(given), self.clean_before.eq(clean),
                         status.lost_in_resync.eq(status.lost_in_resync + self.missing), self.missing.eq(0)]

    def _clock(self, m):
        """Keep the ISN clock and ticks.

        A standby takes both from its first heartbeat, from later ones only larger values, and adds the margins at
        takeover.
        """
        config, status = self.config, self.status
        divider = Signal(16)
        with m.If(divider >= config.isn_divider):
            m.d.sync += [divider.eq(0), status.isn_clock.eq(status.isn_clock + 1)]
        with m.Else():
            m.d.sync += divider.eq(divider + 1)
        with m.If(self.load):
            m.d.sync += status.isn_clock.eq(status.isn_clock + config.isn_margin)
        with m.Elif(self.heard & (~self.known | older(status.isn_clock, self.frame.clock))):
            m.d.sync += status.isn_clock.eq(self.frame.clock)
        m.d.sync += [self.tick_load.eq(self.load | self.heard & (~self.known | older(self.now, self.frame.tick))),
                     self.tick.eq(Mux(self.load, self.now + config.tick_margin, self.frame.tick))]

    def _heartbeat(self, m):
        """Active: request a heartbeat every `hb_interval` clocks, the first one at once after a takeover.

        So the former active knows of the takeover before this unit emits anything.
        """
        config, status = self.config, self.status
        timer = Signal(32)
        with m.If(~status.active | status.fenced | self.yielded | (config.hb_interval == 0)):
            m.d.sync += timer.eq(0)
        with m.Elif(timer + 1 >= config.hb_interval):
            m.d.comb += self.heartbeat.eq(1)
            m.d.sync += timer.eq(0)
        with m.Else():
            m.d.sync += timer.eq(timer + 1)
        with m.If(self.load & (config.hb_interval != 0)):
            m.d.sync += timer.eq(config.hb_interval - 1)
