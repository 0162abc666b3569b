"""Frames to and from two units while the owner changes, units die, and others stall within a frame."""
import cocotb
from cocotb.triggers import ClockCycles

from tests.failover.env_ip_switch import Env


async def _switching(dut, idle, pause):
    env = await Env.start(dut, idle, pause)
    rng, sent = env.rng, dict.fromkeys(("i", "i_unit__0", "i_unit__1"), 0)
    for _ in range(40):
        for name in sent:
            for _ in range(rng.randrange(4)):
                env.send(name, sent[name], rng.randrange(1, 12))
                sent[name] += 1
        await ClockCycles(dut.clk, rng.randrange(1, 60))
        # both claim at times: then the later epoch counts
        dut.active.value = rng.choice((1, 2, 3))
        dut.epoch.value = rng.choice((5 << 16 | 4, 4 << 16 | 5, 0xFFFF))
    await env.drain()
    arrived = [s for s, err in env.ends["o_unit__0"]] + [s for s, err in env.ends["o_unit__1"]]
    assert sorted(arrived) == list(range(sent["i"])), "frames from outside: each to exactly one unit"
    counts = env.counts
    assert len(env.ends["o"]) + counts["stale_frame"] == sent["i_unit__0"] + sent["i_unit__1"]
    assert not any(err for end in env.ends.values() for _, err in end)
    assert counts["owner_change"] > 3 and counts["stale_frame"]
    assert not counts["cut_in"] + counts["cut_out"] + counts["dead_frame"]


@cocotb.test()
async def every_frame_goes_to_one_owner_whole(dut):
    await _switching(dut, 0, 0)


@cocotb.test()
async def every_frame_goes_to_one_owner_whole_with_gaps(dut):
    await _switching(dut, 0.3, 0.4)


@cocotb.test()
async def unit_killed_in_mid_frame_does_not_block(dut):
    env = await Env.start(dut)
    env.send("i_unit__0", 1, 9, stop=4)       # dies after four words
    await ClockCycles(dut.clk, 20)
    dut.dead.value = 1
    dut.active.value = 3
    dut.epoch.value = 2 << 16 | 1
    await ClockCycles(dut.clk, 20)
    env.send("i_unit__1", 2, 5)
    env.send("i", 3, 5)
    await env.drain()
    assert env.ends["o"] == [(1, 1), (2, 0)] and env.ends["o_unit__1"] == [(3, 0)] and int(dut.owner.value) == 1
    assert env.counts["cut_out"] == 1


@cocotb.test()
async def frames_to_a_dead_unit_are_counted_without_another_owner(dut):
    env = await Env.start(dut)
    dut.dead.value = 1
    dut.active.value = 0
    await ClockCycles(dut.clk, 3)
    for serial in range(3):
        env.send("i", serial, 4)
    await env.drain()
    assert env.counts["dead_frame"] == 3 and not env.ends["o_unit__0"] and not env.ends["o_unit__1"]


@cocotb.test()
async def frozen_former_owner_is_given_up(dut):
    env = await Env.start(dut)
    env.sinks["o_unit__0"].pause = 1.0        # takes nothing
    env.send("i_unit__0", 1, 9, stop=4)       # and stops sending
    env.send("i", 2, 9)
    await ClockCycles(dut.clk, 20)
    dut.active.value = 2
    await ClockCycles(dut.clk, 200)
    env.send("i_unit__1", 3, 5)
    env.send("i", 4, 5)
    await env.drain()
    assert env.ends["o"] == [(1, 1), (3, 0)] and env.ends["o_unit__1"] == [(4, 0)]
    # thawed: the rest of its frame is not let through, and the frame it was receiving ends with err
    env.sinks["o_unit__0"].pause = 0.0
    for k in range(5):
        env.sources["i_unit__0"].send({"data": 1 << 8 | 9, "last": int(k == 4)})
    await env.drain()
    assert env.ends["o"] == [(1, 1), (3, 0)] and env.ends["o_unit__0"] == [(2, 1)]
    assert env.counts["cut_out"] == env.counts["cut_in"] == 1


@cocotb.test()
async def detector_redirects_by_force(dut):
    env = await Env.start(dut)
    dut.force.value = 2
    await ClockCycles(dut.clk, 3)
    assert int(dut.owner.value) == 1 and env.counts["owner_change"] == 1


@cocotb.test()
async def frames_wait_whole_for_an_owner_that_hands_over(dut):
    env = await Env.start(dut)
    env.send("i", 1, 9)
    await ClockCycles(dut.clk, 6)
    dut.hold.value = 1                        # within a frame, which goes on
    env.send("i", 2, 5)
    env.send("i", 3, 5)
    env.send("i_unit__0", 4, 5)               # what leaves is not held
    await ClockCycles(dut.clk, 60)
    assert env.ends["o_unit__0"] == [(1, 0)] and not env.ends["o_unit__1"] and env.ends["o"] == [(4, 0)]
    dut.active.value = 3
    dut.epoch.value = 2 << 16 | 1
    await env.drain()
    assert env.ends["o_unit__1"] == [(2, 0), (3, 0)] and env.ends["o_unit__0"] == [(1, 0)]


@cocotb.test()
async def broken_off_hand_over_lets_frames_go_to_the_same_unit(dut):
    env = await Env.start(dut)
    dut.hold.value = 3                        # also of the unit that is not the owner: of no effect
    env.send("i", 1, 9)
    await ClockCycles(dut.clk, 40)
    assert not env.ends["o_unit__0"] and not env.partial["o_unit__0"]
    dut.hold.value = 2
    await env.drain()
    assert env.ends["o_unit__0"] == [(1, 0)]


@cocotb.test()
async def unit_that_dies_while_it_hands_over_holds_nothing(dut):
    env = await Env.start(dut)
    dut.hold.value = 1
    dut.active.value = 0
    dut.dead.value = 1
    env.send("i", 1, 4)
    await env.drain()
    assert env.counts["dead_frame"] == 1
