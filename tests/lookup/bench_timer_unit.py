"""Random deadlines, refusals and kicks; see test_lookup.py."""
import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from tests.lookup.env_timer_unit import CONNECTIONS, start


async def random_deadlines(dut, idle, pause, way):
    """Ticks wrap around 2^32 on the way."""
    env = await start(dut, idle, pause, way=way)
    rng = env.rng
    for _ in range(150):
        conn = rng.randrange(CONNECTIONS) if rng.random() < 0.97 else 0xFFFF
        deadline = rng.choice((0, (env.now + rng.randrange(-2, 12)) % 2**32))
        env.sets.send({"conn": conn, "deadline": deadline})
        env.busy = set(rng.sample(range(CONNECTIONS), 4)) if rng.random() < 0.3 else env.busy
        await ClockCycles(dut.clk, rng.randrange(60))
    await env.finish()
    assert env.refused and env.fired


@cocotb.test()
@cocotb.parametrize((("idle", "pause", "way"), [(0.0, 0.0, 1), (0.5, 0.8, 1), (0.0, 0.3, 60)]))
async def fires_when_due(dut, idle, pause, way):
    await random_deadlines(dut, idle, pause, way)


@cocotb.test()
async def kick_reaches_each_connection_once(dut):
    env = await start(dut)
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    env.used = {1, 2, 5, CONNECTIONS - 1}
    env.busy = {2}
    await env.kick()
    await ClockCycles(dut.clk, 20 * CONNECTIONS)
    assert sorted(env.kicked) == sorted(env.used - {2}) and env.refused
    env.busy = set()
    await env.finish()
    assert sorted(env.kicked) == sorted(env.used)
    await env.kick()
    await env.finish()
    assert len(env.kicked) == 2 * len(env.used)


@cocotb.test()
async def kicks_that_may_not_be_offered_wait_and_deadlines_do_not(dut):
    """Also the deadlines of connections that a kick waits for; each is on time."""
    env = await start(dut, now=100)
    env.tick = 8 * CONNECTIONS
    env.kick_ready = lambda: 0
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    env.used = set(range(0, CONNECTIONS, 2))
    await env.kick()
    await ClockCycles(dut.clk, 8 * CONNECTIONS)
    wanted = {conn: env.now + 2 + conn % 3 for conn in range(CONNECTIONS)}
    for conn, deadline in wanted.items():
        env.sets.send({"conn": conn, "deadline": deadline})
    await ClockCycles(dut.clk, 8 * env.tick)
    assert dict(env.fired) == wanted and len(env.fired) == CONNECTIONS
    assert not env.kicked and not env.kick_clocks and env.model.kick == env.used
    env.kick_ready = lambda: int(env.clock % 64 < 8)
    await ClockCycles(dut.clk, 64 * CONNECTIONS)
    assert env.kicked
    await env.finish()
    assert sorted(env.kicked) == sorted(env.used)


@cocotb.test()
async def kicks_keep_their_pace(dut):
    """A busy connection takes no turn from the others, wherever a scan is when the next one may come."""
    env = await start(dut, pause=0.5, way=20)
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    env.used = set(range(CONNECTIONS))
    for pace in (1, 100, 1000):
        env.pace(pace)
        before, first = len(env.kicked), len(env.kick_clocks)
        env.busy = {3}
        await env.kick()
        await ClockCycles(dut.clk, CONNECTIONS * (pace + 8 * CONNECTIONS))
        while env.asked:                        # the answer to the last one
            await RisingEdge(dut.clk)
        assert sorted(env.kicked[before:]) == sorted(env.used - {3}) and env.model.kick == {3}
        env.busy = set()
        await ClockCycles(dut.clk, pace + 32 * CONNECTIONS)
        assert sorted(env.kicked[before:]) == sorted(env.used)
        clocks = env.kick_clocks[first:]
        assert all(b - a >= pace for a, b in zip(clocks, clocks[1:]))
    await env.finish()


@cocotb.test()
async def a_kick_without_connections_is_quiet_after_the_walk(dut):
    env = await start(dut)
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    for times in (1, 2):                        # the second one comes during the walk of the first
        for _ in range(times):
            await env.kick()
            await ClockCycles(dut.clk, 8)
            assert not int(dut.quiet.value), "consumers look after eight clocks"
        await env.finish()
    assert not env.kick_clocks


@cocotb.test()
@cocotb.parametrize((("pause", "way"), [(0.0, 1), (0.6, 30)]))
async def kicks_and_deadlines_at_random(dut, pause, way):
    env = await start(dut, idle=0.3, pause=pause, way=way)
    rng = env.rng
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    kicks = 0
    for _ in range(200):
        deadline = rng.choice((0, (env.now + rng.randrange(-2, 12)) % 2**32))
        env.sets.send({"conn": rng.randrange(CONNECTIONS), "deadline": deadline})
        env.busy = set(rng.sample(range(CONNECTIONS), 4)) if rng.random() < 0.3 else env.busy
        if rng.random() < 0.2:
            chance = rng.choice((0.0, 0.1, 1.0))
            env.kick_ready = lambda chance=chance: int(rng.random() < chance)
        if env.at_rest():
            env.used = set(rng.sample(range(CONNECTIONS), rng.randrange(1, 6)))
            kicks += 1
            await env.kick()
        await ClockCycles(dut.clk, rng.randrange(60))
    await env.finish()
    assert kicks > 3 and env.kicked and env.fired and env.refused


@cocotb.test()
async def a_kick_before_the_answer_is_not_lost(dut):
    """The director has taken an event before the second kick: the answer to it does not settle that kick."""
    env = await start(dut)
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    env.used = {3}
    await env.kick()
    while not env.asked:
        await RisingEdge(dut.clk)
    env.asked[2] = 20 * CONNECTIONS
    await env.kick()
    await ClockCycles(dut.clk, 10 * CONNECTIONS)
    assert env.asked, "the answer comes later than a walk takes"
    await env.finish()
    assert env.kicked == [3, 3]


@cocotb.test()
async def a_deadline_before_the_answer_stays(dut):
    """The Done of a timer event may set the next deadline before the answer is here."""
    env = await start(dut, now=100)
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    env.sets.send({"conn": 2, "deadline": 90})
    while not env.asked:
        await RisingEdge(dut.clk)
    env.asked[2] = 60
    env.sets.send({"conn": 2, "deadline": 104})
    await ClockCycles(dut.clk, 30)
    assert env.asked and env.sets.empty()
    await env.finish()
    assert [conn for conn, _ in env.fired] == [2, 2] and env.fired[1][1] == 104


@cocotb.test()
async def waiting_answer_never_holds_sets(dut):
    env = await start(dut, now=100)
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    env.sets.send({"conn": 0, "deadline": 90})
    while not env.asked:
        await RisingEdge(dut.clk)
    env.asked[2] = 40 + 8 * CONNECTIONS
    for conn in range(1, CONNECTIONS):
        env.sets.send({"conn": conn, "deadline": 90})
    await ClockCycles(dut.clk, 40 + 4 * CONNECTIONS)
    assert env.asked and env.sets.empty()
    await env.finish()
    assert sorted(conn for conn, _ in env.fired) == list(range(CONNECTIONS))


@cocotb.test()
async def late_by_at_most_a_scan(dut):
    env = await start(dut, now=100)
    env.tick = 8 * CONNECTIONS
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    for conn in range(CONNECTIONS):
        env.sets.send({"conn": conn, "deadline": env.now + 2 + conn % 3})
    wanted = {conn: env.now + 2 + conn % 3 for conn in range(CONNECTIONS)}
    await env.finish()
    assert dict(env.fired) == wanted


@cocotb.test()
async def waiting_offer_never_holds_sets(dut):
    env = await start(dut, pause=1.1, now=100)
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    for conn in range(CONNECTIONS):
        env.sets.send({"conn": conn, "deadline": 90})
    await ClockCycles(dut.clk, 40 + 4 * CONNECTIONS)
    assert int(dut.o_timer__valid.value) and env.sets.empty()
    env.pause = 0.0
    await env.finish()
    assert sorted(conn for conn, _ in env.fired) == list(range(CONNECTIONS))


@cocotb.test()
async def deadlines_wait_while_they_are_held(dut):
    """As in a switch-over: nothing is under way meanwhile, and nothing is lost."""
    env = await start(dut, now=100)
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    for conn in range(CONNECTIONS):
        env.sets.send({"conn": conn, "deadline": env.now + 2})
    dut.hold.value = 1
    await ClockCycles(dut.clk, 8 * env.tick + 8 * CONNECTIONS)
    assert not env.fired and int(dut.quiet.value) and int(dut.armed.value) == CONNECTIONS
    dut.hold.value = 0
    await env.finish()
    assert sorted(conn for conn, _ in env.fired) == list(range(CONNECTIONS))
