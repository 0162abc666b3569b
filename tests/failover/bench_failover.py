"""Two failover units with random commands against the model; roles, lease and takeover."""
import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps_sim.model.failover import ECHO, END, HEARTBEAT, JOIN, MEMBER, NEEDED, START, STATE, SyncFrame, encode
from tests.failover.env_failover import REGISTERS, Env


async def _exchange(dut, *, idle, pause, loss):
    env = await Env.start(dut, idle=idle, pause=pause, loss=loss)
    a, b, rng = env.a, env.b, env.rng
    # The gate's tag is the number of the last record before the output in the stream: the model learns it as commands
    # are queued.
    outputs = records = 0
    for serial in range(150):
        if rng.random() < 0.4:
            kind = rng.choice((0, 0, 0, 1, 2))
            env.record(kind, legs=rng.choice((1, 2)))
            env.gate.record()
            records += 1
        else:
            gated = rng.random() < 0.7
            env.output(serial, int(gated))
            env.gate.command(8 << 32 | serial << 1 | int(gated), gated)
            outputs += 1
        while len(a.command.queue) > 60 or a.get("level") > 20:
            await ClockCycles(dut.clk, 20)
    await env.settle()
    model = env.standby
    assert model.applied == records + 1 == a.get("issued") == b.get("applied")      # and END
    assert model.complete and a.counts["resynced"] == 1 and not a.get("resync")
    assert [(w["conn"], w["beat"], w["data"]) for w in b.writes] == model.writes
    seen = []
    for command in b.lookups:
        key, op = command["key"], command["op"]
        fields = tuple(key >> shift & (1 << size) - 1
                       for shift, size in ((0, 32), (32, 32), (64, 16), (80, 16), (96, 8), (104, 12)))
        seen.append((op, command["conn"], None, None) if op == 2 else (op, command["conn"], command["leg"], fields))
    assert seen == model.lookups
    for name, value in model.counts.items():
        assert b.counts[name] == value, f"{name}: {b.counts[name]}, model {value}"
    assert a.counts["records"] == records + 1 and a.counts["gate_full"] == 0
    assert a.counts["passed_gated"] + a.counts["passed_ungated"] == outputs == len(a.outputs)
    assert [(c["op"], c["conn"]) for c in a.lookups] == [(7, conn) for conn in env.full]     # COVERED
    assert not a.writes and a.get("active") and not b.get("active") and not b.counts["takeover"]
    if loss:
        for name in ("bad_frame", "bad_version", "foreign_frame", "bad_tag", "replayed", "out_of_order"):
            assert b.counts[name], name
        assert a.counts["retransmit"]


@cocotb.test()
async def good_link(dut):
    await _exchange(dut, idle=0, pause=0, loss=0)


@cocotb.test()
async def good_link_with_gaps(dut):
    await _exchange(dut, idle=0.3, pause=0.4, loss=0)


@cocotb.test()
async def bad_link(dut):
    await _exchange(dut, idle=0, pause=0, loss=0.3)


@cocotb.test()
async def bad_link_with_gaps(dut):
    await _exchange(dut, idle=0.3, pause=0.4, loss=0.3)


@cocotb.test()
async def record_whose_confirmation_is_lost_is_sent_again_and_applied_once(dut):
    env = await Env.start(dut)
    env.cut = env.b
    env.record(0)
    env.gate.record()
    await ClockCycles(dut.clk, 2 * REGISTERS["retransmit_after"] + 200)
    env.cut = False
    await env.settle()
    assert env.b.counts["duplicate"] >= 2 and env.b.counts["applied"] == 2 and not env.b.counts["replayed"]


async def _pair(dut):
    env = await Env.start(dut)
    assert env.a.get("emit_enable") and env.a.get("protect") and not env.b.get("emit_enable")
    return env


@cocotb.test()
async def standby_takes_over_after_the_lease(dut):
    env = await _pair(dut)
    a, b = env.a, env.b
    env.record(1)
    env.gate.record()
    await env.settle()
    env.cut = True
    ended = taken = None
    kicks = 0
    clock = b.get("isn_clock")
    for cycle in range(6000):
        await RisingEdge(dut.clk)
        assert not (a.get("emit_enable") and b.get("emit_enable")), "two masters"
        ended = cycle if ended is None and not a.get("emit_enable") else ended
        taken = cycle if taken is None and b.get("active") else taken
        kicks += b.get("kick")
        assert b.get("isn_clock") >= clock
        clock = b.get("isn_clock")
    assert ended is not None and taken is not None
    assert ended <= REGISTERS["lease"] < taken <= REGISTERS["takeover_after"] + 10
    assert kicks == 1 and b.get("epoch") == 2 and b.get("takeovers") == 1 and not b.get("protect")
    assert b.get("unprotected")
    assert b.get("issued") == b.get("confirmed") == 2 and b.get("isn_clock") > a.get("isn_clock")
    # the old active hears of the later epoch, emits nothing more and stays fenced until it is told to join
    a.set(auto_join=0)
    env.cut = False
    await ClockCycles(dut.clk, 2000)
    assert a.get("fenced") and not a.get("active") and not a.get("emit_enable") and not a.get("lease_valid")


async def _clocks_at_takeover(dut, first, second):
    """(ticks of the old active, ticks of the new one) when it takes over; first, second: what they count from."""
    env = await Env.start(dut, cut=True)
    a, b = env.a, env.b
    a.now, b.now = first, second
    env.cut = False
    await env.joined()
    await ClockCycles(dut.clk, REGISTERS["hb_interval"])
    env.cut = True
    while not b.get("active"):
        await RisingEdge(dut.clk)
    await ClockCycles(dut.clk, 2)
    return a.now, b.now


def _ahead(new, old):
    """How many ticks `new` is ahead."""
    return (new - old + (1 << 31)) % (1 << 32) - (1 << 31)


@cocotb.test()
@cocotb.parametrize(start=[5000, (1 << 31) + 5000, (1 << 32) - 30])
async def ticks_do_not_go_back_at_takeover(dut, start):
    """Also if the standby never counted so far, and across the wrap."""
    old, new = await _clocks_at_takeover(dut, start, 0)
    assert 0 < _ahead(new, old) <= REGISTERS["tick_margin"] + 1, (old, new)


@cocotb.test()
async def refuses_frames_of_another_version(dut):
    env = await _pair(dut)
    data = bytearray(encode(SyncFrame(HEARTBEAT, 1, 0, kind=3, tick=1 << 20)))
    data[14] += 1
    before = env.b.now
    env.b.deliver(bytes(data))
    await ClockCycles(dut.clk, 100)
    assert env.b.counts["bad_version"] == 1 and not env.b.counts["bad_frame"] and env.b.now - before < 10


@cocotb.test()
async def gated_output_waits_while_the_link_is_dead(dut):
    env = await _pair(dut)
    env.cut = True
    env.record(0)
    env.gate.record()
    env.output(1, 1)
    env.gate.command(8 << 32 | 3, True)
    env.output(2, 0)
    env.gate.command(8 << 32 | 4, False)
    await ClockCycles(dut.clk, 1000)
    assert not env.gate.free and len(env.gate.gated) == 1 and env.a.get("level") == 1
    env.cut = False
    await env.settle()


@cocotb.test()
async def full_gate_drops_the_new_output_and_goes_on(dut):
    env = await _pair(dut)
    env.cut = True
    env.record(0)
    env.gate.record()
    for serial in range(40):
        env.output(serial, 1)
        if serial < 32:
            env.gate.command(8 << 32 | serial << 1 | 1, True)
    await ClockCycles(dut.clk, 800)
    assert env.a.counts["gate_full"] == 8 and env.a.get("level") == 32 == env.a.get("high_water")
    env.cut = False
    await env.settle()


@cocotb.test()
async def ring_says_when_it_is_full(dut):
    env = await _pair(dut)
    env.cut = True
    for k in range(12):
        env.record(k % 2)
        env.gate.record()
    await ClockCycles(dut.clk, 500)
    assert env.a.get("issued") == 1 + 8 and not env.a.get("sync_ready") and not env.a.command.empty()
    env.cut = False
    await env.settle()
    assert env.a.get("sync_ready") and env.b.get("applied") == 1 + 12


@cocotb.test()
async def runs_unprotected_only_with_policy_and_grant(dut):
    env = await _pair(dut)
    a = env.a
    env.cut = True
    env.b.set(takeover_after=0)
    env.record(0)
    env.gate.record()
    env.output(1, 1)
    env.gate.command(8 << 32 | 3, True)
    await ClockCycles(dut.clk, 3000)
    assert not a.get("emit_enable") and a.get("protect") and a.get("level") == 1
    a.set(policy=1)
    await ClockCycles(dut.clk, 500)
    assert not a.get("emit_enable")
    env.gate.confirm(2)
    a.set(grant=1)
    await ClockCycles(dut.clk, 50)
    assert a.get("emit_enable") and a.get("unprotected") and not a.get("protect") and a.get("level") == 0
    assert a.get("confirmed") == 2 and a.counts["alone"] == 1


@cocotb.test()
async def detector_forces_takeover(dut):
    env = await _pair(dut)
    env.cut = True
    env.b.set(detector=1)
    await ClockCycles(dut.clk, 20)
    assert env.b.get("active") and env.b.get("epoch") == 2


@cocotb.test()
async def standby_that_heard_nothing_never_takes_over(dut):
    env = await Env.start(dut, cut=True)
    await ClockCycles(dut.clk, 6000)
    assert not env.b.get("active") and not env.a.get("emit_enable")


@cocotb.test()
async def malformed_commands_are_counted_and_do_not_hang(dut):
    env = await _pair(dut)
    a = env.a
    a.send(6, 1, [1, 2, 3])                     # delta too short
    a.send(6, 1, [0] * 5)                       # too long
    a.send(6, 1 | 3 << 16, [0] * 24)            # no such kind
    a.send(6, 1, [])                            # header alone
    a.send(5, 1, [0] * 20)                      # output longer than any
    a.send(6, 1, [1, 2, 3, 4])
    env.gate.record()
    await env.settle()
    assert a.counts["bad_record"] == 4 and a.counts["too_long"] == 1
    assert a.get("issued") == 2 == env.b.get("applied")


@cocotb.test()
async def heartbeats_carry_number_and_stamp(dut):
    env = await _pair(dut)
    await ClockCycles(dut.clk, 2 * REGISTERS["hb_interval"])
    beats = [f for name, f in env.frames if name == "a" and f.type == HEARTBEAT]
    echoes = [f for name, f in env.frames if name == "b" and f.type == ECHO]
    join, = [f for name, f in env.frames if name == "b" and f.type == JOIN]
    start, = [f for name, f in env.frames if name == "a" and f.type == START]
    # one heartbeat follows START before its echo is back
    joined = len(beats) - 2
    assert joined >= 2 and [f.kind for f in beats] == [0, MEMBER, *[NEEDED | MEMBER] * joined]
    assert start.kind == MEMBER
    assert [f.number for f in beats] == [0, 0, *[1] * joined]
    answered = [start.stamp, *(f.stamp for f in beats[1:])]
    assert join.stamp == beats[0].stamp and [f.stamp for f in echoes] == answered[:len(echoes)] and len(echoes) >= 2
    assert all(y.stamp - x.stamp == REGISTERS["hb_interval"] for x, y in zip(beats, beats[1:]))
    assert [(f.kind, f.number) for _, f in env.frames if f.type == STATE] == [(END, 1)]
