"""Random events and commands; see test_lookup.py."""
import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from tests.lookup.env_lookup_controller import (
    CONNECTIONS,
    COVERED,
    DELETE,
    ESTABLISHED,
    FREE,
    INSERT,
    NOTE,
    PROTOCOL,
    PURGE,
    TIME_WAIT,
    fill,
    start,
    strangers,
)


async def uncover_at_random(env, rng):
    """Pulses of `uncover`: alone, twice before a sweep can have ended, and while COVERED is carried out."""
    while True:
        await ClockCycles(env.dut.clk, rng.randrange(1, 800))
        if rng.random() < 0.5:
            await env.taken(COVERED)
            await ClockCycles(env.dut.clk, rng.randrange(1, 6))
        await env.uncover()
        if rng.random() < 0.3:
            await ClockCycles(env.dut.clk, rng.randrange(1, CONNECTIONS + 4))
            await env.uncover()


async def random_traffic(dut, idle, pause, events=500, half_open_limit=0, silent=0):
    env = await start(dut, idle, pause)
    uncovers = cocotb.start_soon(uncover_at_random(env, random.Random(env.rng.random())))
    dut.half_open_limit.value = env.model.half_open_limit = half_open_limit
    dut.silent.value = env.model.silent = silent
    rng = env.rng
    for _ in range(events):
        recent = rng.choice(env.flows[:6]) if rng.random() < 0.4 else None
        env.event(recent, protocol=PROTOCOL if rng.random() < 0.9 else 0x84)       # another protocol is another flow
        if rng.random() < 0.5:
            op = rng.choice((INSERT, INSERT, DELETE, DELETE, FREE, FREE, ESTABLISHED, PURGE, *[TIME_WAIT] * 4,
                             *[COVERED] * 4))
            conn = rng.randrange(CONNECTIONS) if rng.random() < 0.95 else rng.choice((CONNECTIONS, 0xFFFF))
            env.command(op, conn, rng.randrange(2), rng.choice(env.flows) if rng.random() < 0.9 else None,
                        half_open=rng.randrange(2))
        if rng.random() < 0.05:
            env.command(NOTE, rng.choice((0, 1, 2, 3, 4, CONNECTIONS, 0xFFFF)))
        if rng.random() < 0.1:
            env.replay(rng.choice(env.flows), wait=rng.randrange(2))
    await env.drain()
    assert env.pulses > 3
    uncovers.cancel()
    dut.uncover.value = 0
    await env.drain()
    assert await env.scan() == env.model.used


@cocotb.test()
@cocotb.parametrize((("idle", "pause"), [(0.0, 0.0), (0.97, 0.0), (0.0, 0.97), (0.9, 0.9)]))
async def agrees_with_model(dut, idle, pause):
    await random_traffic(dut, idle, pause)


@cocotb.test()
async def agrees_with_model_that_refuses_silently(dut):
    await random_traffic(dut, 0.3, 0.3, silent=1)


@cocotb.test()
async def agrees_with_model_with_few_half_open(dut):
    await random_traffic(dut, 0.3, 0.3, half_open_limit=1)


@cocotb.test()
async def half_open_limit_refuses_and_established_gives_room(dut):
    env = await start(dut)
    limit = dut.half_open_limit.value = env.model.half_open_limit = CONNECTIONS // 2
    for flow in env.flows[:CONNECTIONS]:
        env.event(flow, kind=1, tcp_flags=2)
    await env.drain()
    total = env.counters.total
    assert total["created"] == limit and total["half_open_refused"] == CONNECTIONS - limit and not total["table_full"]
    env.command(ESTABLISHED, next(iter(env.model.half_open)))
    await env.drain()
    for flow in env.flows[CONNECTIONS:2 * CONNECTIONS]:
        env.event(flow, kind=1, tcp_flags=2)
    await env.drain()
    assert env.counters.total["created"] == limit + 1
    for flow in env.flows[:limit]:                   # those in a handshake go on
        env.event(flow, kind=1, tcp_flags=16)
    await env.drain()
    assert env.counters.total["hits"] == limit


@cocotb.test()
async def standby_drops_events_and_obeys_commands(dut):
    env = await start(dut)
    dut.active.value = 0
    env.model.active = 0
    for _ in range(20):
        env.event()
    env.command(INSERT, 1, 1, env.flows[0])
    await env.drain()
    assert env.counters.total["standby_drop"] == 20 and await env.scan() == {1}
    dut.active.value = 1
    env.model.active = 1
    env.event(env.flows[0], kind=1, tcp_flags=16)     # known at once after takeover
    env.event(env.flows[1], kind=1, tcp_flags=2)      # and 1 is not given away
    await env.drain()
    assert env.counters.total["hits"] == 1 and env.counters.total["created"] == 1


@cocotb.test()
async def icmp_finds_the_flow_it_is_about_and_makes_none(dut):
    env = await start(dut)
    env.event(env.flows[0], kind=1, tcp_flags=2)
    for flow in env.flows[:3]:
        env.event(flow, kind=3, tcp_flags=2, payload_len=0)
    for note in (0, 1, 1, 2, 3, 4, 0xFFFF):
        env.command(NOTE, note)
    await env.drain()
    total = env.counters.total
    assert (total["created"], total["hits"], total["icmp_noflow"]) == (1, 1, 2)
    assert [total[f"icmp_{what}"] for what in ("too_big", "refused", "old", "ignored")] == [1, 2, 1, 1]


@cocotb.test()
@cocotb.parametrize(silent=[0, 1])
async def full_table_refuses_and_keeps_established(dut, silent):
    env = await start(dut)
    dut.silent.value = env.model.silent = silent
    made = await fill(env)
    for flow in strangers(env):
        env.event(flow, kind=1, tcp_flags=2, payload_len=4)
    await env.drain()
    total = env.counters.total
    assert total["table_full"] == len(strangers(env)) and total["refused"] == silent * total["table_full"]
    assert total["noflow"] == (not silent) * total["table_full"]
    for flow, _ in made:
        env.event(flow, kind=1, tcp_flags=16)
    await env.drain()
    assert env.counters.total["hits"] == CONNECTIONS


@cocotb.test()
async def full_table_recycles_those_in_time_wait_in_their_order(dut):
    """Also those that entered before one that has left the queue, from its head, its middle or its end."""
    env = await start(dut)
    made = await fill(env)
    env.rng.shuffle(made)
    order = [conn for _, conn in made]
    for conn in order + order[:1]:              # entering twice changes nothing
        env.command(TIME_WAIT, conn)
    gone = {order[0], order[len(order) // 2], order[-1]} if CONNECTIONS > 4 else {order[0]}
    for flow, conn in made:
        if conn in gone:
            env.command(DELETE, conn, 0, flow)
            env.command(FREE, conn)
    await env.drain()
    new = strangers(env)
    for flow in new[:len(gone)]:                # ids are free again
        env.event(flow, kind=1, tcp_flags=2)
    await env.drain()
    assert env.counters.total["recycled"] == 0
    expected = [conn for conn in order if conn not in gone]
    for n, conn in enumerate(expected):
        env.event(new[len(gone) + n], kind=1, tcp_flags=2, payload_len=100, iface=n % 3)
        await env.drain()
        assert env.model.ending == {conn} and len(env.model.waiting) == 1
        env.command(FREE, conn)
        await env.drain()
        assert not env.model.waiting and len(env.model.used) == CONNECTIONS
    total = env.counters.total
    assert total["recycled"] == total["parked"] == total["retried"] == len(expected) and total["table_full"] == 0


@cocotb.test()
async def an_id_is_promised_to_one_syn_only(dut):
    """Each SYN that waits has an id that is about to be free; when no more can wait they are refused."""
    env = await start(dut)
    made = await fill(env)
    for _, conn in made:
        env.command(TIME_WAIT, conn)
    await env.drain()
    count = min(4, CONNECTIONS)
    new = strangers(env)
    for flow in new[:count + 2]:
        env.event(flow, kind=1, tcp_flags=2)
    await env.drain()
    total = env.counters.total
    assert total["recycled"] == total["parked"] == count and total["table_full"] == 2
    for _, conn in made[:count]:
        env.command(FREE, conn)
    await env.drain()
    assert not env.model.waiting and env.counters.total["created"] == CONNECTIONS + count


@cocotb.test()
async def a_syn_that_is_sent_back_is_looked_up_again(dut):
    env = await start(dut)
    made = await fill(env)
    flow, conn = made[0]
    env.replay(flow)                            # its connection is still there
    await env.drain()
    assert env.counters.total["hits"] == 1
    env.command(DELETE, conn, 0, flow)          # it is over: the SYN waits for the id
    await env.drain()
    env.replay(flow, ack=12345)
    await env.drain()
    assert env.counters.total["parked"] == 1 and env.counters.total["recycled"] == 0
    env.command(FREE, conn)
    await env.drain()
    assert env.counters.total["created"] == CONNECTIONS + 1 and not env.model.waiting
    last = env.out.received[-1]
    assert (last["new"], last["again"], last["ack"]) == (1, 1, 12345)


@cocotb.test()
async def a_syn_that_says_wait_is_looked_up_when_a_connection_is_freed(dut):
    env = await start(dut)
    made = await fill(env)
    for n in range(6):
        env.replay(made[0][0], wait=1, seq=n)
    await env.drain()
    total = env.counters.total
    assert total["retried"] == 0 and total["replay_lost"] == 2
    env.command(FREE, made[1][1])
    await env.drain()
    assert env.counters.total["retried"] == env.counters.total["hits"] == 4
    env.replay(made[0][0], wait=1)
    await env.drain()
    dut.active.value = env.model.active = 0     # nobody waits for a standby
    await env.drain()
    assert env.counters.total["standby_drop"] == 1


@cocotb.test()
async def commands_pass_while_event_waits(dut):
    """A unit that waits for a command never waits for an event: o_event and o_drop are blocked for good."""
    env = await start(dut)
    env.out.pause = env.dropped.pause = 1.1
    env.commands.idle = 0.0
    for _ in range(3):
        env.event(kind=1, tcp_flags=2)
    await ClockCycles(dut.clk, 200)
    for conn in range(CONNECTIONS):
        env.command(INSERT, conn, 0, env.flows[5])
        env.command(DELETE, conn, 0, env.flows[5])
    await ClockCycles(dut.clk, 120 * CONNECTIONS)
    assert env.taken_commands == 2 * CONNECTIONS and env.taken_events == 1
    env.out.pause = env.dropped.pause = 0.0
    await env.drain()


@cocotb.test()
async def latency_is_as_documented(dut):
    env = await start(dut)
    for flow in env.flows[:CONNECTIONS]:
        env.event(flow, kind=1, tcp_flags=2)
    await env.drain()

    async def clocks(**fields):
        before = len(env.out.received)
        env.event(**fields)
        while not (int(dut.i_event__valid.value) and int(dut.i_event__ready.value)):
            await RisingEdge(dut.clk)
            await ReadOnly()
        n = 0
        while len(env.out.received) == before:
            await RisingEdge(dut.clk)
            await ReadOnly()
            n += 1
        await RisingEdge(dut.clk)
        return n

    other = await clocks(flow=env.flows[0], kind=2)
    unknown = await clocks(flow=env.flows[CONNECTIONS], kind=1, tcp_flags=16)
    known = [await clocks(flow=flow, kind=1, tcp_flags=16) for flow in env.flows[:CONNECTIONS]]
    quick = await clocks(flow=env.flows[CONNECTIONS - 1], kind=1, tcp_flags=16)
    dut._log.info("quick list %d clocks, other kinds %d, unknown %d, known %s", quick, other, unknown, known)
    assert (quick, other, unknown) == (4, 4, 37)
    assert all(n == 4 or 29 <= n <= 36 for n in known) and (CONNECTIONS == 2 or max(known) > 4)
