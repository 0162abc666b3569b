"""Planned switch-over between two units: phases, refusals, lost frames, deaths; never two that emit."""
import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps.failover.signature import SwitchState, SwitchVerdict
from spps.failover.switch_over import hold_limit, settle_clocks
from spps.layouts.flowstate import LEG, LEG_BASE, LEG_STRIDE, ConnFlag
from spps_sim.model.failover import DELTA, FULL, HANDOVER, HEARTBEAT, SyncFrame
from tests.failover.bench_rejoin import ARBITER, CONTINUE, STALL, sent, until
from tests.failover.env_failover import CONNECTIONS, REGISTERS, WIDTH, Env
from tests.failover.two_units import two_units_params

HEARTBEATS, LEASE, TAKEOVER = (REGISTERS[name] for name in ("hb_interval", "lease", "takeover_after"))
SETTLE, HOLD = (length(two_units_params(WIDTH)) for length in (settle_clocks, hold_limit))
PATIENCE = 3000
LEGS = LEG_BASE, LEG_BASE + LEG_STRIDE


def flowstate(*legs, flags=1 << ConnFlag.VALID | 1 << ConnFlag.PROXIED):
    """A connection; legs: (SND.UNA, SND.MAX, end of what there is to send) of each."""
    words = {0: flags}
    for base, numbers in zip(LEGS, legs, strict=True):
        for name, number in zip(("snd_una", "snd_max", "snd_end"), numbers, strict=True):
            words[base + LEG[name].word] = number % (1 << 32)
    return words


EMPTY = flowstate((7, 7, 7), (-5, -5, -5))
SENT = flowstate((7, 7, 7), (-5, 10, 10))
UNSENT = flowstate((7, 8, 9), (3, 3, 3))


async def start(dut, **kwargs):
    """Return an Env whose units are watched."""
    env = await Env.start(dut, **kwargs)
    env.dead = None

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            emits = [unit is not env.dead and unit.get("emit_enable") for unit in (env.a, env.b)]
            assert not all(emits), "two masters"
    cocotb.start_soon(watch())
    return env


async def ask(unit):
    """Write `switch`."""
    unit.set(switch=1)
    await RisingEdge(unit.dut.clk)
    unit.set(switch=0)
    await ClockCycles(unit.dut.clk, 3)


def outcome(unit):
    """State and verdict, as enumeration members."""
    return SwitchState(unit.get("switch_state")), SwitchVerdict(unit.get("switch_verdict"))


async def reach(env, state, unit=None):
    """Wait for a state of a switch-over."""
    unit = unit or env.a
    await until(env, lambda: unit.get("switch_state") == state, 40000)


@cocotb.test()
async def hands_over_and_back(dut):
    env = await start(dut)
    for turn, (old, new) in enumerate(((env.a, env.b), (env.b, env.a), (env.a, env.b))):
        ended = new.counts["resynced"]
        await ask(old)
        assert outcome(old) == (SwitchState.DRAIN, SwitchVerdict.NONE) and old.get("draining") and not old.get("steer")
        await reach(env, SwitchState.HOLD, old)
        assert old.get("steer") and old.get("emit_enable")
        await reach(env, SwitchState.YIELDED, old)
        assert old.get("steer") and not old.get("emit_enable")
        await until(env, lambda old=old: sent(env, old.name, HANDOVER))
        await until(env, lambda new=new: new.get("active"), 120)        # a frame and its tag, no lease
        await until(env, lambda old=old: not old.get("active"), HEARTBEATS + 200)
        await ClockCycles(dut.clk, 2)
        assert outcome(old) == (SwitchState.IDLE, SwitchVerdict.DONE) and not old.get("steer")
        assert new.get("epoch") == turn + 2 and new.counts["handed_over"] == new.get("takeovers")
        assert sent(env, old.name, HANDOVER)[-1].kind == new.get("clean_before") == 1
        assert SETTLE < old.get("switch_hold_clocks") < old.get("switch_clocks") < PATIENCE
        await until(env, lambda new=new, ended=ended: new.counts["resynced"] > ended)
        assert old.get("joined") and new.get("lease_valid") and not new.get("unprotected")
    assert env.a.counts["switched"] == 2 and env.b.counts["switched"] == 1


@cocotb.test()
async def is_refused_unless_every_connection_is_protected(dut):
    env = await start(dut, cut=True)
    a, b = env.a, env.b
    await ask(a)                            # no standby
    assert outcome(a) == (SwitchState.IDLE, SwitchVerdict.REFUSED)
    env.cut = False
    a.set(exposed=1)
    await until(env, lambda: a.get("joined"))
    await ask(a)
    assert outcome(a) == (SwitchState.IDLE, SwitchVerdict.REFUSED)
    a.set(exposed=0)
    await env.joined()
    await ask(b)                            # the standby
    assert outcome(b) == (SwitchState.IDLE, SwitchVerdict.REFUSED)
    env.cut = True
    await until(env, lambda: not a.get("lease_valid"))
    await ask(a)
    assert outcome(a) == (SwitchState.IDLE, SwitchVerdict.REFUSED)
    assert (a.counts["switch_refused"], b.counts["switch_refused"]) == (3, 1)
    assert not a.get("draining") and not sent(env, "a", HANDOVER)


@cocotb.test()
async def waits_for_what_is_held_and_for_handshakes(dut):
    env = await start(dut)
    a = env.a
    a.set(switch_patience=100_000)
    a.flowstates.update({0: EMPTY, 3: SENT, 4: flowstate((1, 1, 9), (1, 1, 9), flags=0), CONNECTIONS - 1: UNSENT,
                         5: flowstate((1, 1, 9), (1, 1, 9), flags=1 << ConnFlag.PROXIED)})
    await ask(a)
    for conn in (3, 5, CONNECTIONS - 1):
        await ClockCycles(dut.clk, 500)
        assert outcome(a)[0] == SwitchState.DRAIN and a.get("scan_conn") == conn
        a.flowstates[conn] = EMPTY
    await reach(env, SwitchState.HOLD)
    await until(env, lambda: env.b.get("active"))


@cocotb.test()
async def bytes_that_come_while_it_runs_empty_are_waited_for(dut):
    env = await start(dut)
    a = env.a
    a.set(switch_patience=100_000)
    a.flowstates[1] = EMPTY
    await ask(a)
    for came in (UNSENT, SENT):
        await reach(env, SwitchState.HOLD)
        a.flowstates[1] = came
        await reach(env, SwitchState.DRAIN)
        assert not a.get("steer")
        a.flowstates[1] = EMPTY
    a.flowstates[1] = SENT
    await ClockCycles(dut.clk, 300)
    assert outcome(a)[0] == SwitchState.DRAIN
    a.flowstates[1] = EMPTY
    await until(env, lambda: env.b.get("active"))


@cocotb.test()
@cocotb.parametrize(held=["sent", "unsent"], force=[0, 1])
async def after_its_patience_it_leaves_what_was_sent_once_and_the_rest_only_by_force(dut, held, force):
    env = await start(dut)
    a = env.a
    a.set(switch_force=force)
    a.flowstates.update({2: SENT if held == "sent" else UNSENT})
    await ask(a)
    await ClockCycles(dut.clk, PATIENCE - 100)
    assert outcome(a)[0] == SwitchState.DRAIN
    if held == "unsent" and not force:
        await until(env, lambda: a.get("switch_verdict"))
        assert outcome(a) == (SwitchState.IDLE, SwitchVerdict.UNSENT) and a.get("emit_enable")
        assert not a.get("draining") and not a.get("steer") and not sent(env, "a", HANDOVER)
    else:
        await until(env, lambda: env.b.get("active"))
        assert a.counts["switch_forced"] == (held == "unsent") and not env.b.get("clean_before")


@cocotb.test()
async def unit_that_does_not_run_empty_goes_on(dut):
    env = await start(dut)
    a = env.a
    a.set(busy=1)
    await ask(a)
    await reach(env, SwitchState.HOLD)
    await ClockCycles(dut.clk, HOLD // 4 - 20)
    assert a.get("steer") and not a.get("close")
    await ClockCycles(dut.clk, 40)
    assert a.get("steer") and a.get("close")
    await until(env, lambda: a.get("switch_verdict"))
    await ClockCycles(dut.clk, 2)
    assert outcome(a) == (SwitchState.IDLE, SwitchVerdict.BUSY) and a.get("emit_enable")
    assert not a.get("steer") and not a.get("close") and not sent(env, "a", HANDOVER)


@cocotb.test()
async def handover_waits_for_the_last_confirmation(dut):
    """Env.carry compares the number with `confirmed`, in every test."""
    env = await start(dut)
    a, b = env.a, env.b
    await ask(a)
    await reach(env, SwitchState.HOLD)
    env.delay = 400
    env.record(FULL)
    await ClockCycles(dut.clk, SETTLE + 200)
    assert a.get("issued") == a.get("confirmed") + 1 and outcome(a)[0] == SwitchState.HOLD
    await until(env, lambda: b.get("active"))
    assert b.get("issued") == a.get("confirmed") and b.get("applied") == a.get("issued")


@cocotb.test()
async def record_of_the_last_moment_is_confirmed_before_handover(dut):
    """A timer event while the last frame leaves; its output does not."""
    env = await start(dut)
    await ask(env.a)
    await reach(env, SwitchState.MUTE)
    env.record(DELTA)
    await until(env, lambda: env.b.get("active"))
    assert env.b.get("applied") == 2


@cocotb.test()
async def lost_handover_is_sent_again(dut):
    env = await start(dut)
    a, b = env.a, env.b
    await ask(a)
    await reach(env, SwitchState.YIELDED)
    env.cut = True
    await until(env, lambda: len(sent(env, "a", HANDOVER)) == 2)
    await ClockCycles(dut.clk, 100)
    assert not b.get("active")
    env.cut = False
    await until(env, lambda: b.get("active"), REGISTERS["retransmit_after"] + 200)
    await until(env, lambda: not a.get("active"))


@cocotb.test()
async def handover_that_is_never_taken_is_given_up_and_echoes_give_the_lease_again(dut):
    env = await start(dut)
    a, b = env.a, env.b
    await ask(a)
    await reach(env, SwitchState.YIELDED)
    env.cut = a
    env.forge(a, SyncFrame(4, 1, a.get("applied"), stamp=sent(env, "a", HEARTBEAT)[-1].stamp))
    await until(env, lambda: a.get("switch_verdict"))
    assert outcome(a) == (SwitchState.IDLE, SwitchVerdict.UNANSWERED) and len(sent(env, "a", HANDOVER)) > 2
    assert not a.get("lease_valid") and not a.get("emit_enable")
    env.cut = False                         # before the standby takes over by itself
    await until(env, lambda: a.get("emit_enable"), 2 * HEARTBEATS)
    await ClockCycles(dut.clk, 2 * TAKEOVER)
    assert not b.get("active") and a.get("emit_enable") and a.get("epoch") == 1
    await ask(a)
    await until(env, lambda: b.get("active"))


@cocotb.test()
@cocotb.parametrize(policy=[STALL, ARBITER, CONTINUE], way=["both", "a", "b"])
async def link_that_is_cut_at_handover_never_makes_two_masters(dut, policy, way):
    """Under `continue` it does, if the active hears nothing any more: see the table in the README."""
    if policy == CONTINUE and way != "a":
        return
    env = await start(dut)
    for unit in (env.a, env.b):
        unit.set(policy=policy)
    await ask(env.a)
    await reach(env, SwitchState.YIELDED)
    env.cut = {"both": True, "a": env.a, "b": env.b}[way]
    await ClockCycles(dut.clk, 4 * TAKEOVER)
    assert env.b.get("active") and env.b.get("emit_enable") and not env.a.get("emit_enable")
    env.cut = False
    await until(env, lambda: env.a.get("joined") and not env.b.get("resync"))


@cocotb.test()
@cocotb.parametrize(phase=[SwitchState.DRAIN, SwitchState.HOLD, SwitchState.MUTE, SwitchState.YIELDED])
async def death_of_the_active_in_each_phase_is_a_takeover(dut, phase):
    env = await start(dut)
    a, b = env.a, env.b
    a.flowstates[1] = SENT
    await ask(a)
    await reach(env, phase)
    env.dead, env.cut = a, a
    await until(env, lambda: b.get("emit_enable"), TAKEOVER + 200)
    env.cut = True
    await ClockCycles(dut.clk, TAKEOVER)
    assert b.get("active") and b.get("epoch") == 2


@cocotb.test()
@cocotb.parametrize(phase=[SwitchState.DRAIN, SwitchState.HOLD, SwitchState.MUTE, SwitchState.YIELDED])
async def death_of_the_standby_in_each_phase_leaves_the_active(dut, phase):
    env = await start(dut)
    a, b = env.a, env.b
    a.set(policy=CONTINUE, switch_patience=50_000)
    a.flowstates[1] = SENT
    await ask(a)
    if phase != SwitchState.DRAIN:
        a.set(switch_patience=0)
    await reach(env, phase)
    env.dead, env.cut = b, True
    await until(env, lambda: a.get("unprotected"), 2 * TAKEOVER)
    assert a.get("emit_enable") and a.get("epoch") == 1 and not a.get("draining") and not a.get("steer")
    assert outcome(a)[0] == SwitchState.IDLE
    # while it runs empty the lease of the last echo may be long enough for HANDOVER
    assert outcome(a)[1] == (SwitchVerdict.BROKEN if phase == SwitchState.DRAIN else SwitchVerdict.UNANSWERED)


@cocotb.test()
async def standby_that_restarts_at_handover_joins_as_always(dut):
    """It is no member, so the old HANDOVER has no effect; a new START ends it for good."""
    env = await start(dut)
    a, b = env.a, env.b
    await ask(a)
    await reach(env, SwitchState.YIELDED)
    b.set(rejoin=1)
    await RisingEdge(dut.clk)
    b.set(rejoin=0)
    await until(env, lambda: b.counts["early_handover"])
    assert not b.get("active")
    await env.joined()
    assert a.get("active") and a.get("epoch") == 1 and outcome(a)[0] == SwitchState.IDLE


@cocotb.test()
async def handover_without_the_last_record_or_to_a_stranger_is_refused(dut):
    env = await start(dut)
    b = env.b
    env.forge(b, SyncFrame(HANDOVER, 1, b.get("applied") + 1))
    await ClockCycles(dut.clk, 150)
    assert not b.get("active") and b.counts["early_handover"] == 1
    env.forge(env.a, SyncFrame(HANDOVER, 1, 0))
    await ClockCycles(dut.clk, 150)
    assert env.a.counts["ignored_state"] == 1 and env.a.get("active")
    env.cut = True
    env.forge(b, SyncFrame(HANDOVER, 1, b.get("applied")))      # the key is known: as good as that of the active
    env.dead = env.a
    await until(env, lambda: b.get("active"), 200)
