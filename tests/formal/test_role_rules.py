"""Role, lease, membership and takeover of two units: never two masters (patent §X.B; architecture rule of that name).

The blocks are those of an SPPS, with short times. The solver chooses what the links lose and how long frames are under
way, which unit dies and when, when the second unit is switched on, when records are issued, and when the first unit
hands its role over. Frames of one direction
arrive in order. The clock of the active is slow and that of the standby fast, so each has the times that its clock
makes of the same registers. A unit that is dead emits nothing. Mutations show that the proof can fail.
"""
from types import SimpleNamespace

import pytest
from amaranth.hdl import (
    Assert,
    Assume,
    Const,
    Cover,
    Elaboratable,
    EnableInserter,
    Module,
    Signal,
)
from amaranth.lib import data

from spps.failover.membership import Membership
from spps.failover.resync import Resync
from spps.failover.role_control import RoleControl
from spps.failover.signature import Policy
from spps.layouts.record import StandbyIs, SyncType
from tests.formal.prover import rtlil_of, verdict

#: lease 7.5 and takeover_after 11.25 in clocks of the right length. The first unit's are a fifth longer, and
#: the other one's as much shorter: 7.5 * 1.2 / 0.8 = 11.25.
SLOW = {"hb_interval": 3, "lease": 9, "takeover_after": 14}
FAST = {"hb_interval": 3, "lease": 6, "takeover_after": 9}
STEPS = 28          # a takeover by a standby that has two records takes 22
MESSAGE = data.StructLayout({"type": 3, "epoch": 4, "number": 6, "kind": 2, "stamp": 8})


class Unit:
    """Role control, membership and resynchronization of one unit, its sender and its record numbers, abstracted."""

    def __init__(self, name, init, times, control):
        self.name, self.init, self.times = name, init, times
        self.control, self.membership, self.resync = control(), Membership(), Resync()
        self.on, self.alive, self.record, self.switch = (Signal(name=f"{name}_{x}")
                                                         for x in ("on", "alive", "record", "switch"))
        self.out, self.send = Signal(MESSAGE, name=f"{name}_out"), Signal(name=f"{name}_send")
        self.i, self.take = Signal(MESSAGE, name=f"{name}_in"), Signal(name=f"{name}_take")
        self.issued, self.confirmed, self.applied = (Signal(6, name=f"{name}_{x}")
                                                     for x in ("issued", "confirmed", "applied"))
        self.emits = Signal(name=f"{name}_emits")

    def elaborate(self, policy, grant):
        """Return the Module of the unit; its clock stands still until `on`."""
        m = Module()
        control, membership, resync = self.control, self.membership, self.resync
        m.submodules += [control, membership, resync]
        config, status = control.config, control.status
        frame, active = self.i, status.active
        m.d.comb += [getattr(config, name).eq(value) for name, value in self.times.items()]
        m.d.comb += [config.role_init.eq(self.init), config.policy.eq(policy), config.grant.eq(grant),
                     config.auto_join.eq(1), self.emits.eq(status.emit_enable & self.alive)]

        # what arrives: the decisions of RecordApplier
        epoch = Signal(4)
        ahead, taken = Signal(), Signal()
        m.d.comb += [epoch.eq(status.epoch), ahead.eq(frame.epoch > epoch),
                     taken.eq(self.take & ~status.fenced & (frame.epoch >= epoch)), control.newer.eq(taken & ahead)]

        def of(kind):
            return taken & (frame.type == kind.value)

        m.d.comb += [
            control.echoed.eq(of(SyncType.ECHO) & active & ~ahead),
            resync.joining.eq(of(SyncType.JOIN) & active & ~ahead),
            control.heard.eq(of(SyncType.HEARTBEAT) & ~active & ~control.deaf),
            membership.started.eq(of(SyncType.START) & ~active & ~control.deaf),
            control.recorded.eq(of(SyncType.STATE) & ~active & membership.member
                                & (frame.number == self.applied + 1)),
            membership.heard.eq(control.heard), membership.standby.eq(control.standby), membership.auto_join.eq(1),
            membership.quiet.eq(1), control.begin.eq(membership.begin), control.member.eq(membership.member),
            control.clean.eq(1), control.idle.eq(1),
            resync.active.eq(active), resync.cycles.eq(status.cycles), resync.lease.eq(config.lease),
            resync.joined.eq(control.joined), resync.exposed.eq(1), resync.withdraw.eq(control.withdraw),
            resync.sync_ready.eq(1), control.accept.eq(resync.accept), control.offered.eq(resync.offered),
            control.start_stamp.eq(resync.start_stamp),
            control.issued.eq(self.issued), control.confirmed.eq(self.confirmed), control.applied.eq(self.applied),
        ]
        for part in (control, membership, resync):
            m.d.comb += [part.frame.type.eq(frame.type), part.frame.epoch.eq(frame.epoch),
                         part.frame.number.eq(frame.number), part.frame.kind.eq(frame.kind),
                         part.frame.stamp.eq(frame.stamp)]

        # planned switch-over: the decisions of SwitchOver, without what it waits for before it falls silent
        muted, yielded, spent, hand = (Signal(width, name=f"{self.name}_{x}") for x, width in
                                       (("muted", 1), ("yielded", 1), ("spent", 8), ("hand", 1)))
        ready = active & control.joined & status.lease_valid & ~status.unprotected
        m.d.comb += [control.muted.eq(muted), control.yielded.eq(yielded), hand.eq(yielded & self.switch),
                     control.handed.eq(of(SyncType.HANDOVER) & ~active & membership.member & ~control.deaf & ~ahead
                                       & (frame.number <= self.applied))]
        with m.If(yielded):
            m.d.sync += spent.eq(spent + 1)
            with m.If(~active | ~control.joined | (spent >= config.lease)):
                m.d.sync += [muted.eq(0), yielded.eq(0)]
        with m.Elif(muted):
            with m.If(~ready):
                m.d.sync += muted.eq(0)
            with m.Elif(self.issued == self.confirmed):
                m.d.comb += hand.eq(1)
                m.d.sync += [yielded.eq(1), spent.eq(0)]
        with m.Elif(self.switch & ready):
            m.d.sync += muted.eq(1)

        # numbers: those of RecordStore and RecordApplier
        with m.If(membership.begin):
            m.d.sync += self.applied.eq(frame.number)
        with m.Elif(control.recorded):
            m.d.sync += self.applied.eq(self.applied + 1)
        with m.If(control.echoed & (frame.number > self.confirmed) & (frame.number <= self.issued)):
            m.d.sync += self.confirmed.eq(frame.number)
        with m.If(control.load):
            m.d.sync += [self.issued.eq(self.applied), self.confirmed.eq(self.applied)]

        # what is sent: the choice of FrameSender
        wants = {"start": resync.accept, "echo": membership.echo, "join": membership.join, "handover": hand,
                 "heartbeat": control.heartbeat}
        waits = {name: Signal(name=f"{self.name}_{name}_waits") for name in wants}
        stamp = Signal(8)
        for name, now in wants.items():
            with m.If(now):
                m.d.sync += waits[name].eq(1)
        with m.If(~yielded & ~hand):
            m.d.sync += waits["handover"].eq(0)
        with m.If(membership.echo | membership.join):
            m.d.sync += stamp.eq(frame.stamp)
        out = self.out
        m.d.comb += [out.epoch.eq(epoch), out.stamp.eq(status.cycles), self.send.eq(1)]
        with m.If(waits["start"]):
            m.d.comb += [out.type.eq(SyncType.START.value), out.number.eq(self.issued), out.kind.eq(StandbyIs.MEMBER),
                         out.stamp.eq(resync.start_stamp)]
            m.d.sync += waits["start"].eq(resync.accept)
        with m.Elif(waits["echo"]):
            m.d.comb += [out.type.eq(SyncType.ECHO.value), out.number.eq(self.applied), out.stamp.eq(stamp)]
            m.d.sync += waits["echo"].eq(membership.echo)
        with m.Elif(waits["join"]):
            m.d.comb += [out.type.eq(SyncType.JOIN.value), out.stamp.eq(stamp)]
            m.d.sync += waits["join"].eq(membership.join)
        with m.Elif(waits["handover"] & yielded):
            m.d.comb += [out.type.eq(SyncType.HANDOVER.value), out.number.eq(self.issued)]
            m.d.sync += waits["handover"].eq(hand)
        with m.Elif(waits["heartbeat"]):
            m.d.comb += [out.type.eq(SyncType.HEARTBEAT.value), out.number.eq(self.issued),
                         out.kind.eq(control.joined | resync.offered << 1)]
            m.d.sync += waits["heartbeat"].eq(control.heartbeat)
        with m.Elif(self.record & active & control.joined):
            m.d.comb += [out.type.eq(SyncType.STATE.value), out.number.eq(self.issued + 1)]
            m.d.sync += self.issued.eq(self.issued + 1)
        with m.Else():
            m.d.comb += self.send.eq(0)
        return EnableInserter(self.on)(m) if self.init == 0 else m


class Link(Elaboratable):
    """One direction: up to two frames under way, in order; `lose` and `hold` are the solver's, see `sound`."""

    def __init__(self, name, sender, receiver):
        self.sender, self.receiver = sender, receiver
        self.lose, self.hold = Signal(name=f"{name}_lose"), Signal(name=f"{name}_hold")

    def elaborate(self, platform):
        m = Module()
        slots, level = [Signal(MESSAGE, name=f"slot_{n}") for n in (0, 1)], Signal(range(3))
        push, pop = Signal(), Signal()
        m.d.comb += [
            push.eq(self.sender.send & self.sender.on & self.sender.alive & ~self.lose & (level != 2)),
            self.receiver.i.eq(slots[0]), self.receiver.take.eq((level != 0) & ~self.hold),
            pop.eq(self.receiver.take & self.receiver.on),
        ]
        m.d.sync += level.eq(level + push - pop)
        with m.If(pop):
            m.d.sync += slots[0].eq(slots[1])
        with m.If(push):
            with m.If(level - pop == 0):
                m.d.sync += slots[0].eq(self.sender.out)
            with m.Else():
                m.d.sync += slots[1].eq(self.sender.out)
        return m


class Contract(Elaboratable):
    """Two units and two links.

    policy: of both, STALL or ARBITER. second: whether unit b may be switched on late, and `grant` be set at unit a
    until then. control: RoleControl or a mutation.
    """

    def __init__(self, policy, *, second=False, control=RoleControl):
        self.policy, self.second = policy, second
        self.a, self.b = Unit("a", 1, SLOW, control), Unit("b", 0, FAST, control)
        self.links = {"ab": Link("ab", self.a, self.b), "ba": Link("ba", self.b, self.a)}
        self.grant, self.switch_on = Signal(), Signal()
        self.ports = [self.grant, self.switch_on, self.a.alive, self.b.alive, self.a.record, self.b.record,
                      self.a.switch,
                      *(s for link in self.links.values() for s in (link.lose, link.hold))]

    def elaborate(self, platform):
        m = Module()
        a, b = self.a, self.b
        m.submodules.a, m.submodules.b = a.elaborate(self.policy, self.grant), b.elaborate(self.policy, 0)
        m.submodules.ab, m.submodules.ba = self.links["ab"], self.links["ba"]
        began = Signal()                # b has been switched on before
        m.d.sync += began.eq(b.on)
        m.d.comb += [a.on.eq(1), b.on.eq(began | self.switch_on if self.second else 1), Assume(~self.grant | ~b.on)]
        for unit in (a, b):
            was_alive = Signal(init=1, name=f"{unit.name}_was_alive")
            m.d.comb += Assume(was_alive | ~unit.alive)
            m.d.sync += was_alive.eq(unit.alive)
        m.d.comb += [
            Assert(~(a.emits & b.emits)),
            # what the active was told is confirmed, the standby that takes over has
            Assert(~(b.control.load & b.on) | (b.applied >= a.confirmed)),
            Cover(b.emits & (b.applied >= 2)), Cover(b.emits & a.alive),
            Cover(b.emits & a.control.status.active & a.control.yielded),
        ]
        return m


class LongLease(RoleControl):
    """Mutation: the lease is longer than the standby waits."""

    def _lease(self, m):
        lease, self.config.lease = self.config.lease, self.config.lease + 8
        super()._lease(m)
        self.config.lease = lease


class YoungEchoes(RoleControl):
    """Mutation: the lease counts from the time when the echo arrives."""

    def _lease(self, m):
        frame = self.frame
        self.frame = SimpleNamespace(stamp=self.status.cycles, number=frame.number)
        super()._lease(m)
        self.frame = frame


class HastyStandby(RoleControl):
    """Mutation: the standby takes over whether or not the active depends on it."""

    def _watch(self, m):
        frame = self.frame
        self.frame = SimpleNamespace(kind=Const(3, 2), conn=frame.conn)
        super()._watch(m)
        self.frame = frame


class EmitsOn(RoleControl):
    """Mutation: the active emits while its lease lasts, whether or not it has handed its role over."""

    def elaborate(self, platform):
        self.muted, self.yielded = Const(0), Const(0)
        return super().elaborate(platform)


def prove(tmp_path, *args, mode="bmc", **kwargs):
    return verdict(rtlil_of(Contract(*args, **kwargs)), tmp_path, mode, STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [Policy.STALL, Policy.ARBITER])
def test_never_two_masters_whatever_the_links_lose(tmp_path, policy):
    assert prove(tmp_path, policy, second=policy == Policy.ARBITER) == "PASS"


@pytest.mark.slow
def test_the_standby_does_take_over_with_records(tmp_path):
    assert prove(tmp_path, Policy.STALL, mode="cover") == "PASS"


@pytest.mark.slow
@pytest.mark.parametrize("mutation", [LongLease, YoungEchoes, EmitsOn])
def test_a_broken_role_control_is_found(tmp_path, mutation):
    assert prove(tmp_path, Policy.STALL, control=mutation) == "FAIL"


@pytest.mark.slow
def test_a_standby_that_takes_over_from_an_active_that_went_on_alone_is_found(tmp_path):
    assert prove(tmp_path, Policy.ARBITER, second=True, control=HastyStandby) == "FAIL"
