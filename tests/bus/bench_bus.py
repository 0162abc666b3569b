"""Random messages of all clusters and deliveries to them; see test_bus.py."""
import cocotb
from cocotb.triggers import ClockCycles

from spps_sim.testbench.bus.stream import reset, start_clock
from tests.bus.env_bus import CLUSTERS, Env


async def run(dut, idle, pause, slow=(), messages=200):
    start_clock(dut)
    env = Env(dut, idle, pause, slow)
    await reset(dut)
    for _ in range(messages):
        env.random_message(env.rng.randrange(CLUSTERS))
        if env.rng.random() < 0.2:
            env.deliver(env.rng.choice((*range(CLUSTERS), env.rng.randrange(16))))
    await env.drain()


@cocotb.test()
@cocotb.parametrize((("idle", "pause"), [(0.0, 0.0), (0.5, 0.0), (0.0, 0.6), (0.3, 0.3)]))
async def routes_every_message(dut, idle, pause):
    await run(dut, idle, pause)


@cocotb.test()
async def holds_done_behind_a_slow_lookup(dut):
    await run(dut, 0.0, 0.0, slow=("o_lookup",))


@cocotb.test()
async def blocked_target_does_not_hold_others(dut):
    """With o_socket blocked for good, the Dones and deliveries of other messages still arrive."""
    start_clock(dut)
    env = Env(dut, 0.0, 0.0)
    env.socket.pause = 1.1
    await reset(dut)
    if CLUSTERS > 1:
        env.send(0, [3 | 2 << 8 | 2 << 24, 1, 2])
    for _ in range(5):
        env.send(CLUSTERS - 1, [2 | 0 << 8 | (CLUSTERS - 1) << 16 | 1 << 24, env.rng.getrandbits(64)])
        env.deliver(0)
    await ClockCycles(dut.clk, 200)
    assert len(env.done.received) == 5 and len(env.cores[0].received) == 45
    env.socket.pause = 0.0
    await env.drain()
