"""cocotb bench of the SPI-4 source: its words go through the model's receiver."""
import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from tests.spi4.env_spi4_source import MAX_FRAME, PORTS, Env


async def run(dut, *, idle, busy, blocks, packets=120):
    env = await Env.start(dut, idle=idle, busy=busy, blocks=blocks)
    rng = env.rng
    for _ in range(packets):
        size = rng.choice((1, 2, 3, 15, 16, 17, 60, 64, rng.randrange(1, 300), MAX_FRAME))
        env.send(rng.randbytes(size), rng.randrange(PORTS), rng.random() < 0.1)
    await env.finish()
    env.check()
    assert max(env.model.burst_octets) == 16 * min(16, max(1, blocks))


@cocotb.test()
async def sends_largest_bursts(dut):
    await run(dut, idle=0.0, busy=0.0, blocks=16)


@cocotb.test()
async def takes_more_than_16_blocks_as_16(dut):
    await run(dut, idle=0.0, busy=0.0, blocks=31, packets=60)


@cocotb.test()
async def takes_no_blocks_as_1_with_gaps(dut):
    await run(dut, idle=0.4, busy=0.0, blocks=0, packets=60)


@cocotb.test()
async def waits_for_satisfied_ports(dut):
    await run(dut, idle=0.2, busy=0.6, blocks=4, packets=60)


@cocotb.test()
async def starts_a_burst_3_clocks_after_its_last_word(dut):
    env = await Env.start(dut)
    env.send(env.rng.randbytes(40), 1)
    last = clock = began = 0
    while not began:
        await RisingEdge(dut.clk)
        await ReadOnly()
        clock += 1
        assert clock < 100, "no burst"
        if int(dut.i__valid.value):
            last = clock
        if any(control and word >> 15 for word, control in env.group()):
            began = clock
    assert began - last == 3
    await env.finish()
    env.check()
