"""Random events through the queue; see test_events.py."""
import os

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tests.events.env_events import Env

DEPTH = int(os.environ["SPPS_P_DEPTH"])
EVENTS = 150


@cocotb.test()
async def passes_an_event_per_6_clocks(dut):
    env = await Env.start(dut, DEPTH)
    assert await env.run(EVENTS) <= EVENTS * 6 + 12


@cocotb.test()
async def takes_an_event_per_4_clocks_until_it_is_full(dut):
    env = await Env.start(dut, DEPTH, pause=1.0)
    for _ in range(DEPTH + 1):
        env.source.send(env.rng.getrandbits(512))
    while not int(dut.i__valid.value):
        await RisingEdge(dut.clk)
        await ReadOnly()
    for clock in range(1, 4 * DEPTH + 40):
        await RisingEdge(dut.clk)
        await ReadOnly()
        assert int(dut.level.value) == min(DEPTH, clock // 4)
    assert env.counters.total["overflow_stall"] == env.stalls == 1


@cocotb.test()
async def offers_an_event_11_clocks_after_it_came_to_the_empty_queue(dut):
    env = await Env.start(dut, DEPTH)
    env.source.send(env.rng.getrandbits(512))
    offered, taken = [], []
    for clock in range(30):
        await RisingEdge(dut.clk)
        await ReadOnly()
        if int(dut.i__valid.value):
            offered.append(clock)
        if int(dut.o__valid.value):
            taken.append(clock)
    assert len(offered) == 4 and taken == [offered[0] + 11]


@cocotb.test()
@cocotb.parametrize((("idle", "pause"), [(0.9, 0.0), (0.0, 0.95), (0.6, 0.8)]))
async def keeps_order(dut, idle, pause):
    env = await Env.start(dut, DEPTH, idle, pause)
    await env.run(EVENTS)
    if (idle, pause) == (0.0, 0.95):
        assert env.model.high_water == DEPTH and env.stalls, "the queue was never full"
