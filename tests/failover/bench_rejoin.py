"""How a standby joins, is left out, and joins again; policies of an active without one."""
import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps_sim.model.failover import (
    DELTA,
    ECHO,
    END,
    FULL,
    HEARTBEAT,
    JOIN,
    MEMBER,
    NEEDED,
    START,
    STATE,
    SyncFrame,
)
from tests.failover.env_failover import CONNECTIONS, PACE, REGISTERS, Env

HEARTBEATS = REGISTERS["hb_interval"]
CONTINUE, STALL, ARBITER = 2, 0, 1


def sent(env, name, kind):
    """Frames of a type that a unit has sent."""
    return [frame for unit, frame in env.frames if unit == name and frame.type == kind]


async def until(env, condition, limit=20000):
    """Wait for condition(); AssertionError after `limit` clocks."""
    for _ in range(limit):
        if condition():
            return
        await RisingEdge(env.dut.clk)
    raise AssertionError(f"never: {env.a.counts} {env.b.counts}")


async def taken_over(dut):
    """An Env whose unit b is active, and a has not heard of it: the link is cut."""
    env = await Env.start(dut)
    env.cut = True
    await until(env, lambda: env.b.get("active"))
    return env


@cocotb.test()
async def standby_without_connections_joins_at_the_first_heartbeat(dut):
    env = await Env.start(dut)
    assert [len(sent(env, *which)) for which in (("b", JOIN), ("a", START))] == [1, 1]
    assert env.a.get("joins") == 1 and env.a.get("join_verdict") == 1 and env.a.counts["resynced"] == 1
    assert env.b.counts["joined"] == 1 and not env.b.kicks and env.a.kicks == 1


@cocotb.test()
async def end_comes_when_no_connection_is_exposed(dut):
    env = await Env.start(dut, cut=True)
    a = env.a
    a.set(exposed=3, in_use=4)
    env.cut = False
    await until(env, lambda: a.get("joined"))
    await ClockCycles(dut.clk, 1000)
    assert a.get("resync") and a.get("exposed") == 3 and not sent(env, "a", STATE)
    assert sent(env, "a", HEARTBEAT)[-1].conn == 3 and env.b.get("exposed") == 3
    env.record(FULL)
    await until(env, lambda: a.lookups)
    assert a.lookups[0]["op"] == 7
    a.set(sweeping=1, exposed=0)            # the count is not right while the lookup makes it anew
    await ClockCycles(dut.clk, 500)
    assert a.get("resync")
    a.set(sweeping=0)
    await until(env, lambda: not a.get("resync"))
    assert [frame.kind for frame in sent(env, "a", STATE)] == [FULL, END] and a.get("resync_clocks") > 1000
    await ClockCycles(dut.clk, 2 * HEARTBEATS)
    assert env.b.get("exposed") == 0 and env.b.get("applied") == 2


@cocotb.test()
async def kicks_of_a_resynchronization_are_paced(dut):
    env = await Env.start(dut, cut=True)
    a = env.a
    a.set(exposed=1)
    env.cut = False
    assert a.get("kick_ready")
    await until(env, lambda: a.get("resync"))
    for _ in range(3):
        assert a.get("kick_ready")
        a.set(kicked=1)
        await RisingEdge(dut.clk)
        a.set(kicked=0)
        await ClockCycles(dut.clk, 2)
        for _ in range(PACE - 3):
            assert not a.get("kick_ready")
            await RisingEdge(dut.clk)
        await until(env, lambda: a.get("kick_ready"), 4)
    # a ring without room stops them
    env.cut = True
    for _ in range(12):
        env.record(DELTA)
    await until(env, lambda: not a.get("sync_ready"))
    await ClockCycles(dut.clk, 30)
    assert not a.get("kick_ready")


@cocotb.test()
async def standby_forgets_its_connections_before_it_joins(dut):
    env = await Env.start(dut, cut=True)
    b = env.b
    b.set(in_use=5)
    env.cut = False
    await ClockCycles(dut.clk, 3 * HEARTBEATS)
    assert b.kicks > 10 and not sent(env, "b", JOIN) and not sent(env, "b", ECHO)
    b.set(quiet=0)
    await ClockCycles(dut.clk, 20)
    kicks = b.kicks
    await ClockCycles(dut.clk, 2 * HEARTBEATS)
    assert b.kicks == kicks and not sent(env, "b", JOIN)
    b.set(in_use=0)
    await ClockCycles(dut.clk, 2 * HEARTBEATS)
    assert not sent(env, "b", JOIN)
    b.set(quiet=1)
    await env.joined()


@cocotb.test()
async def standby_that_missed_records_is_left_out_and_joins_again(dut):
    """The finding of an attack: an echo whose number is right by chance made such a pair say `protected`."""
    env = await Env.start(dut)
    a, b = env.a, env.b
    a.set(policy=CONTINUE)
    b.set(takeover_after=0)
    env.cut = True
    await until(env, lambda: a.get("unprotected"))
    env.record(FULL)                        # of a connection that the standby never hears of
    await ClockCycles(dut.clk, 200)
    assert a.counts["unshared_record"] == 1 and a.get("issued") == a.get("confirmed") == 1 == b.get("applied")
    b.set(in_use=3)
    a.set(exposed=1)
    env.cut = False
    await ClockCycles(dut.clk, 3 * HEARTBEATS)
    assert b.counts["excluded"] == 1 and not b.get("joined") and b.kicks
    assert not a.get("joined") and not a.get("protect")
    b.set(in_use=0)
    await until(env, lambda: a.get("joins") == 2 and b.get("joined"))
    await RisingEdge(dut.clk)
    assert a.get("joined") and a.get("protect") and a.get("resync") and not a.get("unprotected")
    a.set(exposed=0)
    await env.joined()
    assert b.get("applied") == a.get("issued") == 2


@cocotb.test()
async def echo_from_before_the_start_grants_nothing(dut):
    env = await Env.start(dut)
    a, b = env.a, env.b
    old = sent(env, "b", ECHO)[-1]
    a.set(policy=CONTINUE)
    b.set(takeover_after=0)
    env.cut = True
    await until(env, lambda: a.get("unprotected"))
    refused = a.counts["unsynced_echo"]
    now = sent(env, "a", HEARTBEAT)[-1].stamp
    env.forge(a, SyncFrame(ECHO, 1, a.get("issued"), stamp=old.stamp))
    await ClockCycles(dut.clk, 100)
    assert a.get("unprotected") and a.counts["unsynced_echo"] + a.counts["late_echo"] == refused + 1
    # a standby that has not been excluded yet, after a new START that it has not heard
    env.forge(a, SyncFrame(JOIN, 1, 0, conn=15, stamp=now))
    env.forge(a, SyncFrame(ECHO, 1, a.get("issued"), stamp=now))
    await ClockCycles(dut.clk, 200)
    assert a.get("unprotected") and not a.get("joined")


@cocotb.test()
async def joins_over_a_link_on_which_heartbeats_overtake_the_echo(dut):
    """The round trip is longer than two heartbeat intervals: heartbeats follow START before its echo comes back."""
    env = await Env.start(dut, cut=True)
    env.a.set(policy=CONTINUE)
    env.delay = HEARTBEATS
    env.cut = False
    await env.joined()
    await ClockCycles(dut.clk, 20 * HEARTBEATS)
    assert env.a.get("joins") == 1 and env.a.get("lease_valid") and not env.b.counts["excluded"]
    kinds = [frame.kind for frame in sent(env, "a", HEARTBEAT)]
    assert kinds == sorted(kinds) and {0, MEMBER, NEEDED | MEMBER} == set(kinds)


@cocotb.test()
async def echo_that_comes_after_the_active_went_on_alone_restores_nothing(dut):
    """It answers a heartbeat from before; records are missing since."""
    env = await Env.start(dut)
    a, b = env.a, env.b
    a.set(policy=CONTINUE)
    b.set(takeover_after=0)
    env.cut = b                             # echoes are lost
    await until(env, lambda: a.get("unprotected"))
    stamp = [frame for frame in sent(env, "a", HEARTBEAT) if frame.kind & NEEDED][-1].stamp
    env.forge(a, SyncFrame(ECHO, 1, a.get("issued"), stamp=stamp))
    await ClockCycles(dut.clk, 50)
    assert a.get("unprotected") and not a.get("joined") and not a.counts["late_echo"]
    await ClockCycles(dut.clk, 2 * HEARTBEATS)
    assert b.counts["excluded"] == 1 and not b.get("joined")


@cocotb.test()
@cocotb.parametrize(said=[None, "heartbeat", "record"])
async def standby_takes_over_only_from_an_active_that_depends_on_it(dut, said):
    """START alone does not say so: the active goes on alone until it hears the echo."""
    env = await Env.start(dut)
    a, b = env.a, env.b
    a.set(policy=CONTINUE)
    b.set(rejoin=1)
    await ClockCycles(dut.clk, 1)
    b.set(rejoin=0)
    starts = len(sent(env, "a", START))
    await until(env, lambda: len(sent(env, "a", START)) > starts)
    env.cut = True                          # the link fails before the echo arrives
    await until(env, lambda: b.get("joined"))
    number = b.get("applied")
    if said == "heartbeat":
        env.forge(b, SyncFrame(HEARTBEAT, 1, number, kind=NEEDED | MEMBER))
    elif said == "record":
        env.forge(b, SyncFrame(STATE, 1, number + 1, lines=(0,) * 8))
    await ClockCycles(dut.clk, 3 * REGISTERS["takeover_after"])
    assert bool(b.get("active")) == (said is not None) and (a.get("unprotected") or not a.get("emit_enable"))


@cocotb.test()
async def copies_of_join_and_start_have_no_effect(dut):
    env = await Env.start(dut)
    a, b = env.a, env.b
    join, start = sent(env, "b", JOIN)[0], sent(env, "a", START)[0]
    env.forge(a, join)
    env.forge(b, start)
    await ClockCycles(dut.clk, 200)
    assert a.counts["late_join"] == 1 and a.get("joined") and a.get("joins") == 1 and a.get("lease_valid")
    assert b.counts["ignored_start"] == 1 and b.get("joined") and b.get("applied") == 1
    # one that comes after the standby has forgotten everything
    env.cut = True
    b.set(rejoin=1)
    await ClockCycles(dut.clk, 2)
    b.set(rejoin=0)
    env.forge(b, start)
    env.forge(b, SyncFrame(STATE, 1, 2, lines=(0,) * 8))
    await ClockCycles(dut.clk, 200)
    assert not b.get("joined") and b.counts["ignored_start"] == 2 and b.counts["unjoined_state"] == 1


@cocotb.test()
async def start_with_a_later_stamp_makes_a_member_begin_again(dut):
    """A START lost its place among heartbeats: records between the two may be missing."""
    env = await Env.start(dut)
    start = sent(env, "a", START)[0]
    env.forge(env.b, SyncFrame(START, 1, 7, kind=MEMBER, stamp=start.stamp + 1))
    env.a.set(policy=CONTINUE)
    await ClockCycles(dut.clk, 100)
    assert not env.b.get("joined") and env.b.counts["excluded"] == 1
    await env.joined()
    assert env.b.get("applied") == env.a.get("issued")


@cocotb.test()
async def other_size_and_other_configuration_are_refused(dut):
    env = await Env.start(dut, cut=True)
    a, b = env.a, env.b
    stamp = sent(env, "a", HEARTBEAT)[-1].stamp
    size = CONNECTIONS - 1
    env.forge(a, SyncFrame(JOIN, 1, 0, conn=size - 1, stamp=stamp))
    await ClockCycles(dut.clk, 60)
    assert a.counts["other_size"] == 1 and a.get("join_verdict") == 2 and not sent(env, "a", START)
    for value in (5, 5):                    # a word of CONFIG, twice: a whole round
        b.set(cfg=value << 7 | 1)
        await RisingEdge(dut.clk)
    b.set(cfg=0)
    env.cut = False
    await ClockCycles(dut.clk, 3 * HEARTBEATS)
    assert a.counts["other_config"] >= 2 and a.get("join_verdict") == 3 and not a.get("joined")
    assert len({frame.number for frame in sent(env, "b", JOIN)}) == 1 and sent(env, "b", JOIN)[0].number == 5
    for value in (5, 5):
        a.set(cfg=value << 7 | 1)
        await RisingEdge(dut.clk)
    a.set(cfg=0)
    await env.joined()
    assert a.get("join_verdict") == 1


@cocotb.test()
async def standby_joins_only_when_told_without_auto_join(dut):
    env = await Env.start(dut, cut=True)
    env.b.set(auto_join=0)
    env.cut = False
    await ClockCycles(dut.clk, 4 * HEARTBEATS)
    assert not sent(env, "b", JOIN) and not env.a.get("joined")
    env.b.set(rejoin=1)
    await ClockCycles(dut.clk, 1)
    env.b.set(rejoin=0)
    await env.joined()


@cocotb.test()
async def fenced_unit_becomes_the_standby_by_itself(dut):
    env = await taken_over(dut)
    a, b = env.a, env.b
    a.set(in_use=2)
    env.cut = False
    await until(env, lambda: not a.get("active"))
    await ClockCycles(dut.clk, 3 * HEARTBEATS)
    assert a.counts["fenced"] == 1 and not a.get("fenced") and a.kicks and not a.get("joined")
    a.set(in_use=0)
    await until(env, lambda: b.counts["resynced"])
    assert b.get("protect") and a.get("epoch") == b.get("epoch") == 2
    # and it takes over when the other one falls silent
    env.cut = True
    await until(env, lambda: a.get("active"))
    assert a.get("epoch") == 3 and a.get("takeovers") == 1


@cocotb.test()
async def standby_that_is_no_member_takes_over_by_force_only_and_without_connections(dut):
    env = await Env.start(dut, cut=True)
    b = env.b
    b.set(auto_join=0, in_use=2)
    env.cut = False
    await ClockCycles(dut.clk, 2 * HEARTBEATS)
    env.cut = True
    await ClockCycles(dut.clk, 2 * REGISTERS["takeover_after"])
    assert not b.get("active")
    b.set(detector=1)
    await ClockCycles(dut.clk, 500)
    assert not b.get("active") and b.kicks
    b.set(in_use=0)
    await ClockCycles(dut.clk, 20)
    assert b.get("active") and b.get("epoch") == 2


@cocotb.test()
async def takeover_in_the_middle_of_a_resynchronization_counts_what_is_lost(dut):
    env = await Env.start(dut, cut=True)
    env.a.set(exposed=4)
    env.cut = False
    await until(env, lambda: env.a.get("joined"))
    env.record(FULL)
    env.a.set(exposed=3)
    await ClockCycles(dut.clk, 2 * HEARTBEATS)
    env.cut = True
    await until(env, lambda: env.b.get("active"))
    assert env.b.get("lost_in_resync") == 3 and env.b.get("issued") == 1


@cocotb.test()
async def standby_that_joins_again_in_the_middle_starts_over(dut):
    env = await Env.start(dut, cut=True)
    a, b = env.a, env.b
    a.set(exposed=4, policy=CONTINUE)
    env.cut = False
    await until(env, lambda: a.get("joined"))
    env.record(FULL)
    await until(env, lambda: b.get("applied") == 1)
    kicks = a.kicks
    b.set(rejoin=1)
    await ClockCycles(dut.clk, 1)
    b.set(rejoin=0)
    await until(env, lambda: a.get("joins") == 2)
    await ClockCycles(dut.clk, 20)
    assert a.counts["resync_broken"] == 1 and a.kicks == kicks + 1 and a.get("resync")
    a.set(exposed=0)
    await env.joined()


async def _alone(env, policy):
    """Clocks from the cut of the link until the active goes on without its standby, or None."""
    env.a.set(policy=policy)
    env.b.set(takeover_after=0)
    env.cut = True
    for cycle in range(4 * REGISTERS["takeover_after"]):
        if env.a.get("unprotected"):
            return cycle
        await RisingEdge(env.dut.clk)
    return None


@cocotb.test()
async def policy_continue_goes_on_after_a_living_standby_would_have_taken_over(dut):
    env = await Env.start(dut)
    cycle = await _alone(env, CONTINUE)
    after = REGISTERS["takeover_after"]
    assert after + HEARTBEATS < cycle < 2 * after and env.a.get("emit_enable") and not env.a.get("protect")
    await ClockCycles(dut.clk, HEARTBEATS + 50)
    assert sent(env, "a", HEARTBEAT)[-1].kind == 0 and env.a.counts["alone"] == 1


@cocotb.test()
@cocotb.parametrize(policy=[STALL, ARBITER])
async def policy_stall_and_arbiter_wait(dut, policy):
    env = await Env.start(dut)
    assert await _alone(env, policy) is None and not env.a.get("emit_enable") and env.a.get("joined")


@cocotb.test()
@cocotb.parametrize(deaf=["a", "b"])
async def one_way_cut_never_makes_two_masters(dut, deaf):
    """Frames to one unit are lost: the other one hears everything."""
    env = await Env.start(dut)
    env.a.set(policy=CONTINUE)
    env.b.set(policy=CONTINUE)
    env.cut = env.b if deaf == "a" else env.a
    for _ in range(6 * REGISTERS["takeover_after"]):
        await RisingEdge(dut.clk)
        assert not (env.a.get("emit_enable") and env.b.get("emit_enable")), "two masters"
    assert env.a.get("emit_enable") or env.b.get("emit_enable")
    assert (env.a if deaf == "a" else env.b).get("active")


@cocotb.test()
async def unit_that_starts_as_the_active_beside_another_one_steps_back(dut):
    """Both were told to be active after reset, as when the first unit comes back after a takeover."""
    env = await taken_over(dut)
    a, b = env.a, env.b
    a.set(role_load=1)
    await ClockCycles(dut.clk, 1)
    a.set(role_load=0, policy=CONTINUE)
    env.cut = False
    for _ in range(3 * HEARTBEATS):
        await RisingEdge(dut.clk)
        assert not a.get("emit_enable")
    await until(env, lambda: b.get("joined"))
    assert not a.get("active")
