"""cocotb bench of the echo responder."""
import struct

import cocotb
from cocotb.triggers import ClockCycles

from tests.echo.env_echo import LARGEST, SIZE, Env

DATA = LARGEST - 8


@cocotb.test()
@cocotb.parametrize(pause=[0.0, 0.5])
async def answers_requests_of_every_size(dut, pause):
    env = await Env.start(dut, pause=pause)
    for size in (*range(3 * SIZE + 20), 56, 548, DATA - SIZE, *range(DATA - 3, DATA + 1)):
        await env.ask(env.rng.randbytes(size))
        while len(env.replies) < len(env.expected):
            await ClockCycles(dut.clk, 1)
        await env.tick()
    await env.drain()


@cocotb.test()
async def checksums_fold_every_carry(dut):
    """The data makes the checksum of the request what is wanted: around both ends, and where the carry comes."""
    env = await Env.start(dut)
    for wanted in (0, 1, 0x07FF, 0x0800, 0x7FFF, 0xF7FE, 0xF7FF, 0xF800, 0xFFFE, 0xFFFF):
        for identifier in (0, 1, 0xFFFF):
            total = 0x0800 + identifier
            rest = (~wanted - total) % 0xFFFF
            await env.ask(struct.pack(">H", rest), identifier=identifier, sequence=0)
            while len(env.replies) < len(env.expected):
                await ClockCycles(dut.clk, 1)
            await env.tick()
    await env.ask(b"", identifier=0, sequence=0)            # the reply is all zeros but its checksum
    await env.drain()


@cocotb.test()
async def answers_no_more_than_the_limit_in_a_tick(dut):
    env = await Env.start(dut, limit=3)
    for _ in range(4):
        for n in range(8):
            await env.ask(b"abc", answered=n < 3)
            await ClockCycles(dut.clk, 100)
        await env.tick()
    dut.limit.value = 0
    await env.tick()
    for _ in range(3):
        await env.ask(b"abc", answered=False)
        await ClockCycles(dut.clk, 100)
    await env.drain()
    assert dict(+env.count) == {"answered": 12, "limited": 23}


@cocotb.test()
async def a_standby_answers_nothing(dut):
    env = await Env.start(dut)
    dut.active.value = 0
    await env.ask(b"abc", answered=False)
    await ClockCycles(dut.clk, 100)
    dut.active.value = 1
    await env.ask(b"def")
    await env.drain()
    assert dict(+env.count) == {"answered": 1, "standby": 1}


@cocotb.test()
async def what_passes_while_a_reply_waits_changes_nothing_of_it(dut):
    env = await Env.start(dut, pause=1.1)
    await env.ask(env.rng.randbytes(700))
    for _ in range(5):
        await env.message(env.rng.randbytes(env.rng.randrange(1, LARGEST)))
        await env.ask(env.rng.randbytes(300), answered=False)
    env.out.pause = 0.3
    await env.drain()
    await env.message(b"another protocol")
    await env.ask(env.rng.randbytes(300))
    await env.drain()
    assert dict(+env.count) == {"answered": 2, "busy": 5}


@cocotb.test()
async def a_message_that_began_before_the_reply_had_left_is_not_answered(dut):
    env = await Env.start(dut)
    busy = 0
    for gap in range(0, 60):
        await env.ask(env.rng.randbytes(100))
        await ClockCycles(dut.clk, gap)
        before = env.count["answered"] + env.count["busy"]
        await env.ask(env.rng.randbytes(200), answered=False)
        await ClockCycles(dut.clk, 200)
        assert env.count["answered"] + env.count["busy"] == before + 1
        if env.count["busy"] == busy:           # it was answered
            break
        busy = env.count["busy"]
        await env.tick()
    assert 0 < busy < 60 and len(env.replies) == env.count["answered"]


@cocotb.test()
async def a_message_longer_than_any_frame_is_not_answered(dut):
    env = await Env.start(dut)
    await env.ask(env.rng.randbytes(4096), answered=False)
    await env.ask(b"short")
    await env.drain()
    assert dict(+env.count) == {"answered": 1, "busy": 1}
