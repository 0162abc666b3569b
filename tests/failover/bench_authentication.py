"""What strangers and resets can do to two units: nothing that the key does not allow."""
import random
from dataclasses import replace

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps_sim.model.failover import (
    CONFIRM,
    DELTA,
    ECHO,
    FULL,
    HEARTBEAT,
    JOIN,
    START,
    STATE,
    SyncFrame,
    encode,
)
from tests.failover.env_failover import KEYS, REGISTERS, SEED, SESSIONS, Env

HEARTBEATS = REGISTERS["hb_interval"]
CONTINUE = 2
REFUSED = "bad_frame", "bad_version", "foreign_frame", "bad_key", "bad_tag", "replayed", "unheard"
STATE_WORDS = "active", "epoch", "applied", "issued", "confirmed", "joined", "protect", "fenced", "takeovers"


def refused(unit):
    """How many frames of each reason a unit has refused, those of 0 left out."""
    return {name: unit.counts[name] for name in REFUSED if unit.counts[name]}


def state(env):
    """What must not change in either unit."""
    return [[unit.get(name) for name in STATE_WORDS] for unit in (env.a, env.b)]


async def until(env, condition, limit=20000):
    """Wait for condition(); AssertionError after `limit` clocks."""
    for _ in range(limit):
        if condition():
            return
        await RisingEdge(env.dut.clk)
    raise AssertionError(f"never: {env.a.counts} {env.b.counts}")


async def quiet(env, unit):
    """Wait until a unit has judged all that it was given."""
    await until(env, unit.link.empty)
    await ClockCycles(env.dut.clk, 300)


@cocotb.test()
async def a_protected_pair_refuses_nothing_and_says_that_it_has_a_key(dut):
    env = await Env.start(dut)
    await ClockCycles(dut.clk, 3 * HEARTBEATS)
    assert not refused(env.a) and not refused(env.b)
    assert [unit.get("sync_key") for unit in (env.a, env.b)] == [1, 1]
    assert {frame.slot for _, frame in env.frames} == {0}
    assert {frame.session for name, frame in env.frames if name == "b"} == {SESSIONS["b"]}


@cocotb.test()
async def without_a_key_frames_have_the_tag_of_key_0_and_status_says_so(dut):
    env = await Env.start(dut, keys=())
    assert [unit.get("sync_key") for unit in (env.a, env.b)] == [0, 0]
    before = env.b.get("applied")
    env.forge(env.b, SyncFrame(STATE, 1, before + 1, lines=(0,) * 8), bytes(16))        # everybody can
    await ClockCycles(dut.clk, 200)
    assert env.b.get("applied") == before + 1


@cocotb.test()
async def forged_frames_have_no_effect(dut):
    """Frames that would be taken but for their tag."""
    env = await Env.start(dut)
    a, b = env.a, env.b
    b.set(takeover_after=0)
    before, issued = state(env), a.get("issued")
    stamp = [frame for name, frame in env.frames if name == "a" and frame.type == HEARTBEAT][-1].stamp
    frames = {a: (SyncFrame(HEARTBEAT, 2, issued, kind=3), SyncFrame(CONFIRM, 1, issued + 1),
                  SyncFrame(ECHO, 1, issued, stamp=stamp), SyncFrame(JOIN, 1, 0, conn=15, stamp=stamp + 5)),
              b: (SyncFrame(HEARTBEAT, 2, issued), SyncFrame(STATE, 1, issued + 1, lines=(1,) * 8),
                  SyncFrame(STATE, 1, issued + 1, kind=FULL, lines=(1,) * 48), SyncFrame(START, 1, 5, stamp=stamp + 5))}
    keys = bytes(16), KEYS[1], KEYS[0][::-1], KEYS[0][:15] + bytes((KEYS[0][15] ^ 1,))
    for unit, given in frames.items():
        for frame in given:
            for key in keys:
                serial = env.serial["b" if unit is a else "a"] + 1
                unit.deliver(encode(replace(frame, serial=serial, heard=SESSIONS[unit.name], unit=int(unit is a)), key))
        await quiet(env, unit)
        assert refused(unit) == {"bad_tag": len(given) * len(keys)}
    assert state(env) == before and not b.writes and not b.lookups and a.get("lease_valid")


@cocotb.test()
async def frames_of_the_past_have_no_effect(dut):
    """All of a reign, to both units, within it and in the reign after the next takeover."""
    env = await Env.start(dut)
    a, b = env.a, env.b
    for _ in range(3):
        env.record(FULL)
        env.gate.record()
        env.record(DELTA)
        env.gate.record()
    await env.settle()
    played = {a: list(env.carried["b"]), b: list(env.carried["a"])}
    assert len(played[b]) > 8
    writes = len(b.writes)
    before = state(env)
    for unit, frames in played.items():
        for data in frames:
            unit.deliver(data)
        await quiet(env, unit)
        assert refused(unit) == {"replayed": len(frames)}
    assert state(env) == before and len(b.writes) == writes and a.get("lease_valid")
    env.cut = True
    await until(env, lambda: b.get("active"))
    env.cut = False
    await until(env, lambda: b.counts["resynced"])
    before = state(env)
    for unit, frames in played.items():
        for data in frames:
            unit.deliver(data)
        await quiet(env, unit)
        assert refused(unit) == {"replayed": 2 * len(frames)}
    assert state(env) == before and b.get("active") and b.get("lease_valid")


@cocotb.test()
async def frames_sent_back_to_their_sender_have_no_effect(dut):
    env = await Env.start(dut)
    before = state(env)
    for unit in (env.a, env.b):
        for data in env.carried[unit.name][-3:]:
            unit.deliver(data)
        await quiet(env, unit)
        assert refused(unit) == {"foreign_frame": 3}
    assert state(env) == before


@cocotb.test()
async def key_is_changed_under_traffic(dut):
    """Step by step, in one unit well before the other one."""
    env = await Env.start(dut)
    a, b, rng = env.a, env.b, env.rng
    new = random.Random(f"{SEED}new").randbytes(16)
    lost = []

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            if not (a.get("lease_valid") and a.get("protect") and b.get("joined") and a.get("emit_enable")):
                lost.append(True)

    async def traffic():
        for serial in range(120):
            env.record(rng.choice((DELTA, DELTA, FULL)))
            env.gate.record()
            env.output(serial, 1)
            env.gate.command(8 << 32 | serial << 1 | 1, True)
            while len(a.command.queue) > 40:
                await ClockCycles(dut.clk, 20)
            await ClockCycles(dut.clk, rng.randrange(120))

    cocotb.start_soon(watch())
    flow = cocotb.start_soon(traffic())
    units = [a, b]
    steps = (lambda unit: unit.load_key(1, new), lambda unit: unit.set(sync_accept=3),
             lambda unit: unit.set(sync_send=1), lambda unit: unit.set(sync_accept=2),
             lambda unit: unit.load_key(0, bytes(16)))
    env.keys[1] = new
    for guard in (env.standby.guard, env.guard):
        guard.keys[1], guard.accept = new, 3
    slots = []
    for step in steps:
        rng.shuffle(units)
        for unit in units:
            step(unit)
            await ClockCycles(dut.clk, 200 + rng.randrange(300))
        slots.append({frame.slot for _, frame in env.frames[-3:]})
    assert slots == [{0}, {0}, {1}, {1}, {1}]
    assert not flow.done(), "the traffic ended before the change"
    await flow
    await env.settle()
    assert not lost and not refused(a) and not refused(b) and not a.counts["retransmit"]
    assert b.get("applied") == a.get("issued") == 121 and a.get("sync_key") == b.get("sync_key") == 2


@cocotb.test()
async def key_used_before_it_is_accepted_costs_the_lease(dut):
    """Why the steps have an order."""
    env = await Env.start(dut, keys=KEYS)
    env.a.set(sync_send=1)
    await until(env, lambda: not env.a.get("lease_valid"))
    assert set(refused(env.b)) == {"bad_key"}
    env.b.set(sync_accept=3, takeover_after=0)
    await until(env, lambda: env.a.get("lease_valid"))


@cocotb.test()
async def standby_that_was_reset_joins_with_a_larger_session_only(dut):
    env = await Env.start(dut)
    a, b = env.a, env.b
    a.set(policy=CONTINUE)
    await env.power_up(b, SESSIONS["b"] - 1)
    await ClockCycles(dut.clk, 20 * HEARTBEATS)
    # it asks, but that might be a recording
    assert set(refused(a)) == {"replayed"} and a.get("joins") == 1 and not b.get("joined")
    b.set(sync_session=SESSIONS["b"] + 1)
    await until(env, lambda: a.get("joins") == 2 and b.get("joined"))
    await until(env, lambda: not a.get("resync") and a.get("protect"))
    count = refused(a), refused(b)
    await ClockCycles(dut.clk, 3 * HEARTBEATS)
    assert (refused(a), refused(b)) == count


@cocotb.test()
async def active_that_was_reset_gets_its_standby_back(dut):
    """Before the standby takes over: both begin anew, in the first epoch."""
    env = await Env.start(dut)
    a, b = env.a, env.b
    b.set(takeover_after=0)
    await env.power_up(a, SESSIONS["a"] + 3)
    await until(env, lambda: a.get("joins") == 1 and a.get("protect") and b.get("joined") and not a.get("resync"))
    assert set(refused(b)) <= {"unheard"}


@cocotb.test()
async def unit_that_was_reset_as_the_active_beside_another_one_steps_back(dut):
    """It believes no later epoch before the other unit has heard of it."""
    env = await Env.start(dut)
    a, b = env.a, env.b
    env.cut = True
    await until(env, lambda: b.get("active"))
    await env.power_up(a, SESSIONS["a"] + 1)
    env.cut = a
    await ClockCycles(dut.clk, 3 * HEARTBEATS)
    assert a.get("active") and a.counts["unheard"] and not a.get("emit_enable")
    env.cut = False
    await until(env, lambda: b.get("joined") and a.get("joined"), 5 * HEARTBEATS)
    assert b.get("active") and not a.get("active") and a.get("epoch") == 2


@cocotb.test()
async def recorded_rejoin_does_not_make_a_member_of_a_unit_that_was_reset(dut):
    """A stranger cuts the link, and plays to a standby that was reset all that its active has ever sent."""
    env = await Env.start(dut)
    b = env.b
    for _ in range(4):
        env.record(FULL)
        env.gate.record()
    await env.settle()
    played = list(env.carried["a"])
    kinds = [data[26] for data in played]
    assert kinds.count(STATE) == 5 and START in kinds and HEARTBEAT in kinds
    env.cut = True
    await env.power_up(b, SESSIONS["b"] + 1)
    b.writes.clear()
    for data in played:
        b.deliver(data)
    await quiet(env, b)
    await ClockCycles(dut.clk, 2 * REGISTERS["takeover_after"])
    assert not b.get("joined") and not b.get("active") and b.get("applied") == 0 and not b.writes
    assert refused(b) == {"unheard": len(played) - kinds.count(HEARTBEAT)}
    assert [frame.type for name, frame in env.frames if name == "b"][-1] == JOIN
    env.cut = False
    await until(env, lambda: b.get("joined") and not env.a.get("resync"))
