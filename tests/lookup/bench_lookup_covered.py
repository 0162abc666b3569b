"""Which connections the standby has a record of, and the sweep that forgets it; see test_lookup.py."""
import cocotb
from cocotb.triggers import ClockCycles

from tests.lookup.env_lookup_controller import (
    CONNECTIONS,
    COVERED,
    DELETE,
    ESTABLISHED,
    FREE,
    INSERT,
    PURGE,
    TIME_WAIT,
    fill,
    start,
)


@cocotb.test()
async def exposed_are_those_established_and_not_covered(dut):
    env = await start(dut)
    last, unused = CONNECTIONS - 1, 0

    async def exposed():
        await env.drain()
        assert int(dut.exposed.value) == env.model.exposed()
        return int(dut.exposed.value)

    assert await exposed() == 0
    for leg in range(2):                        # as from a record: at once established, once per connection
        env.command(INSERT, last, leg, env.flows[leg])
    assert await exposed() == 1
    for conn in (unused, CONNECTIONS, 0xFFFF):
        env.command(COVERED, conn)
    assert await exposed() == 1 and env.counters.total["bad_conn"] == 2
    env.command(INSERT, unused, 0, env.flows[2])    # what was said before it was in use does not count
    assert await exposed() == 2
    for _ in range(2):
        env.command(COVERED, last)
        assert await exposed() == 1
    env.command(TIME_WAIT, last)                # and what else happens to it changes nothing
    env.command(INSERT, last, 0, env.flows[0])
    env.command(ESTABLISHED, last)
    env.command(DELETE, last, 0, env.flows[0])
    assert await exposed() == 1
    for end in (FREE, PURGE):                   # the next one with its id is not covered
        env.command(end, last)
        assert await exposed() == 1
        env.command(INSERT, last, 1, env.flows[1])
        assert await exposed() == 2
        env.command(COVERED, last)
    env.command(FREE, last)
    env.command(PURGE, unused)
    assert await exposed() == 0 and not env.model.used


@cocotb.test()
async def a_connection_is_exposed_from_its_handshake_on_unless_covered_in_it(dut):
    env = await start(dut)
    made = await fill(env)
    conns = [conn for _, conn in made]
    assert int(dut.exposed.value) == 0
    for conn in conns[::2]:                     # its record is there before the handshake is over
        env.command(COVERED, conn)
    await env.drain()
    assert int(dut.exposed.value) == 0
    for n, conn in enumerate(conns):
        env.command(ESTABLISHED, conn)
        await env.drain()
        assert int(dut.exposed.value) == (n + 1) // 2
    for flow, conn in made:                     # their ids go to others, which nobody has covered
        env.command(COVERED, conn)
        env.command(DELETE, conn, 0, flow)
        env.command(FREE, conn)
    await env.drain()
    assert int(dut.exposed.value) == 0
    for n, (_, conn) in enumerate(await fill(env)):
        env.command(ESTABLISHED, conn)
        await env.drain()
        assert int(dut.exposed.value) == n + 1


async def fill_with_covered(env):
    """Every id in use, established and covered, but for one that is half-open; the id of that one."""
    made = await fill(env)
    for _, conn in made[1:]:
        env.command(ESTABLISHED, conn)
        env.command(COVERED, conn)
    await env.drain()
    assert int(env.dut.exposed.value) == 0
    return made[0][1]


@cocotb.test()
async def uncover_exposes_all_that_are_established(dut):
    env = await start(dut)
    half_open = await fill_with_covered(env)
    await env.uncover()
    clocks = await env.swept()
    assert CONNECTIONS < clocks <= CONNECTIONS + 4, f"{clocks} clocks"      # + 3: a mark in hand
    await env.drain()
    assert int(dut.exposed.value) == CONNECTIONS - 1
    assert env.model.half_open == {half_open} and await env.scan() == set(range(CONNECTIONS))
    await env.uncover(clocks=3)                 # again, without effect
    await env.swept()
    await env.drain()
    assert int(dut.exposed.value) == CONNECTIONS - 1


@cocotb.test()
async def uncover_and_covered_take_effect_in_their_order(dut):
    """One clock later each time: before the mark, in the middle of it, and after it."""
    env = await start(dut)
    env.commands.idle = 0.0
    await fill_with_covered(env)
    outcomes = set()
    for offset in range(8):
        conn = offset % CONNECTIONS
        env.command(ESTABLISHED, conn)
        env.command(COVERED, conn)
        await env.taken(COVERED)
        if offset:
            await ClockCycles(dut.clk, offset)
        await env.uncover()
        await env.drain()
        outcomes.add(int(dut.exposed.value))
    assert outcomes == {CONNECTIONS - 1, CONNECTIONS}, "covered before the sweep, and after it"


@cocotb.test()
async def a_second_uncover_is_not_lost(dut):
    """With what is covered between the two; the sweep of the first is under way, or just over."""
    env = await start(dut)
    env.commands.idle = 0.0
    for gap in range(1, CONNECTIONS + 8):
        for conn in range(CONNECTIONS):
            env.command(INSERT, conn, 0, env.flows[conn])
        env.command(COVERED, 0)
        await env.drain()
        await env.uncover()
        for conn in (0, CONNECTIONS - 1, 0):
            env.command(COVERED, conn)
        await ClockCycles(dut.clk, gap)
        await env.uncover()
        clocks = await env.swept()
        assert clocks >= CONNECTIONS
        await env.drain()


@cocotb.test()
async def events_of_known_flows_pass_during_a_sweep(dut):
    env = await start(dut)
    made = await fill(env)
    env.event(made[-1][0], kind=1, tcp_flags=16)
    await env.drain()
    await env.uncover()
    env.event(made[-1][0], kind=1, tcp_flags=16)
    await ClockCycles(dut.clk, 8)
    assert len(env.out.received) == CONNECTIONS + 2
    await env.drain()
