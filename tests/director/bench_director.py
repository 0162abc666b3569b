"""Events, timers, lost cores and lost events; see test_director.py."""
import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps.layouts.director import Done
from spps_sim.testbench.bus.stream import pack
from tests.director.env_director import (
    CONNECTIONS,
    SLOTS,
    TOTAL,
    UNWANTED,
    WORKSPACES,
    start,
)


async def random_traffic(dut, idle, pause, events=400, **kwargs):
    env = await start(dut, idle, pause, **kwargs)
    rng = env.rng
    for _ in range(events):
        choice = rng.random()
        conn = rng.randrange(5) if rng.random() < 0.7 else rng.randrange(CONNECTIONS)
        if choice < 0.75:
            env.send(conn, new=int(rng.random() < 0.05))
        elif choice < 0.85:
            env.send(None)
        elif choice < 0.9:
            env.send(conn, kind=UNWANTED, new=rng.getrandbits(1), payload=rng.choice((0, 9)))
        else:
            env.send(conn, timer=True)
    await env.drain()
    assert env.counters.total["write_backs"] > 20


@cocotb.test()
@cocotb.parametrize((("idle", "pause"), [(0.0, 0.0), (0.9, 0.0), (0.0, 0.8), (0.6, 0.6)]))
async def flows_see_their_events_in_order(dut, idle, pause):
    await random_traffic(dut, idle, pause)


@cocotb.test()
async def flows_see_their_events_in_order_slow_cores(dut):
    await random_traffic(dut, 0.0, 0.0, hold=60)


@cocotb.test()
async def spreads_flows_over_cores(dut):
    """With nothing finished, new flows go to the least loaded core, so loads differ by one at most."""
    env = await start(dut)
    env.stop = True
    flows = min(TOTAL * WORKSPACES, CONNECTIONS, TOTAL * SLOTS)
    for conn in range(flows):
        env.send(conn)
    await ClockCycles(dut.clk, 20 * flows)
    loads = [len(queue) for queue in env.model.queue]
    assert sum(loads) == flows and max(loads) - min(loads) <= 1, loads
    env.stop = False
    await env.drain()


@cocotb.test()
async def gives_flows_to_cores_in_turn(dut):
    """With `round_robin` the load of a core does not matter: a loaded core has its turn like the others."""
    env = await start(dut)
    if TOTAL == 1:
        return
    env.stop = True
    dut.round_robin.value = 1
    for _ in range(3):
        env.send(0)                                     # all at one core
    for conn in range(1, 1 + TOTAL):
        env.send(conn)
    await ClockCycles(dut.clk, 20 * (3 + TOTAL))
    home = env.model.at[0][0]
    assert ([env.model.at[conn][0] for conn in range(1, 1 + TOTAL)]
            == [(home + 1 + turn) % TOTAL for turn in range(TOTAL)])
    dut.round_robin.value = 0
    env.send(1 + TOTAL)                                 # by load again
    await ClockCycles(dut.clk, 20)
    assert env.model.at[1 + TOTAL][0] != home
    env.stop = False
    await env.drain()


@cocotb.test()
async def gives_no_event_to_a_core_that_is_not_enabled(dut):
    env = await start(dut)
    dut.core_enable.value = 1
    for conn in range(min(WORKSPACES, CONNECTIONS)):
        env.send(conn)
    await env.drain()
    assert env.deliveries == min(WORKSPACES, CONNECTIONS)
    dut.core_enable.value = 0
    env.send(0)
    await ClockCycles(dut.clk, 100)
    assert len(env.model.waiting) == 1
    dut.core_enable.value = 1
    await env.drain()


@cocotb.test()
async def ignores_done_that_fits_nothing(dut):
    env = await start(dut)
    for cluster, core, workspace, noflow in ((0, 0, 0, 0), (15, 0, 0, 1), (0, 15, 0, 0), (0, 0, 15, 0), (0, 0, 0, 1)):
        done = pack(Done, {"conn": 1, "workspace": workspace, "noflow": noflow, "close": 1, "spare": 1})
        env.done.send({"done": done, "cluster": cluster, "core": core})
        env.bad += 1
    await ClockCycles(dut.clk, 40)
    env.send(1)
    await env.drain()


@cocotb.test()
async def refuses_timer_of_busy_flow(dut):
    env = await start(dut)
    env.stop = True
    env.send(3)
    await ClockCycles(dut.clk, 20)
    env.send(3, timer=True)
    await ClockCycles(dut.clk, 20)
    assert env.refused == 1
    env.stop = False
    await env.drain()
    env.send(3, timer=True)
    await env.drain()
    assert env.counters.total["timers"] == 1


@cocotb.test()
async def an_answer_that_waits_holds_no_event(dut):
    env = await start(dut)
    env.answers.pause = 1.1
    env.send(1, timer=True)
    await ClockCycles(dut.clk, 20)
    for _ in range(3):
        env.send(2 if CONNECTIONS > 2 else 0)
    env.send(1, timer=True)
    await ClockCycles(dut.clk, 100)
    assert env.deliveries == 4 and env.timers_taken == 1, "the next timer event waits for the answer, events do not"
    env.answers.pause = 0.0
    await env.drain()
    assert env.timers_taken == 2


@cocotb.test()
async def a_flow_that_comes_back_needs_no_load(dut):
    env = await start(dut, trap_rate=0, close_rate=0)
    for _ in range(4):
        env.send(1)
        await env.drain()
    total = env.counters.total
    assert total["resumed"] == 3 and total["write_backs"] == 4


@cocotb.test()
async def a_standby_keeps_no_copy(dut):
    """The other unit's records change flowstate memory."""
    env = await start(dut, trap_rate=0, close_rate=0)
    env.send(1)
    await env.drain()
    dut.standby.value = 1
    env.model.forget()
    await ClockCycles(dut.clk, 2)
    env.model.memory[1].append(-1)
    env.model.arrived[1].append(-1)
    dut.standby.value = 0
    env.send(1)
    await env.drain()
    assert env.counters.total["resumed"] == 0


@cocotb.test()
async def a_masked_core_gives_its_flows_away(dut):
    """As for a new program: events of a flow that is resident there go elsewhere, and come back to a fresh LOAD."""
    env = await start(dut, trap_rate=0, close_rate=0)
    if TOTAL == 1:
        return
    env.send(1)
    await env.drain()
    home = next(iter(env.model.space))[0]
    masks = list(env.masks)
    env.masks[home] = 0
    dut.masks.value = sum(mask << 16 * c for c, mask in enumerate(env.masks))
    for _ in range(2):
        env.send(1)
        await env.drain()
    assert [place[0] for place in env.model.space] != [home] and len(env.model.space) == 1
    env.masks = masks
    dut.masks.value = sum(mask << 16 * c for c, mask in enumerate(masks))
    for _ in range(3):
        env.send(1)
        await env.drain()
    assert env.counters.total["resumed"] == 4        # one each time it comes back to where it was last


@cocotb.test()
async def a_trap_takes_the_flow_back_to_what_was_written(dut):
    env = await start(dut, trap_rate=0, close_rate=0)
    env.send(1)
    await env.drain()
    env.trap_rate = 1
    env.send(1)
    await env.drain()
    env.trap_rate = 0
    env.send(1, timer=True)
    env.send(1)
    await env.drain()
    assert env.restarted == 1 and env.model.memory[1] == [1, 3, 4] and env.model.lost == {2}


@cocotb.test()
async def a_new_connection_that_is_lost_leaves_nothing(dut):
    env = await start(dut, trap_rate=1, close_rate=0)
    env.stop = True
    for turn in range(min(SLOTS, 3)):
        env.send(1, new=int(turn == 0))
    await ClockCycles(dut.clk, 50)
    env.stop = False
    await env.drain()
    assert env.purges == 1 and env.restarted == 0
    env.trap_rate = 0
    env.send(1, new=1)
    env.send(1)
    await env.drain()
    assert env.purges == 1 and env.restarted == 0 and len(env.model.memory[1]) == 2


@cocotb.test()
async def a_core_that_stops_answering_is_fenced(dut):
    env = await start(dut, trap_rate=0, close_rate=0)
    dut.fence__limit.value = 200
    for conn in range(3):
        env.send(conn % CONNECTIONS)
    await env.drain()
    home = min(place[0] for place in env.model.space)
    env.stuck = {home}
    dut.fence__waiting.value = 1 << home
    for turn in range(2 * SLOTS):
        env.send(turn % 3)
        await ClockCycles(dut.clk, 100)
    assert int(dut.fence__fenced.value) == 0, "a core that waits for the bus is not stuck"
    dut.fence__waiting.value = 0
    while not int(dut.fence__fenced.value):
        await RisingEdge(dut.clk)
    env.model.forget(cores={home})
    env.keeps = lambda core: TOTAL == 1 or core != home      # a single core is used again at once
    assert int(dut.fence__fenced.value) == 1 << home
    if TOTAL == 1:                                      # nobody else is there: events wait
        dut.fence__lift.value = 1
        await ClockCycles(dut.clk, 1)
        dut.fence__lift.value = 0
        await ClockCycles(dut.clk, 20)
        assert int(dut.fence__fenced.value), "not while the core has events"
    env.stuck = set()                                    # the cluster answers for it
    await env.drain()
    for conn in range(min(3, CONNECTIONS)):
        env.send(conn)
    await env.drain()
    assert env.restarted >= 1 and env.counters.total["fences"] == 1 and env.traps >= 1
    if TOTAL > 1:
        assert int(dut.fence__fenced.value) and not any(place[0] == home for place in env.model.space)
        dut.fence__lift.value = 1 << home
        await ClockCycles(dut.clk, 1)
        dut.fence__lift.value = 0
        await ClockCycles(dut.clk, 3)
    env.keeps = lambda core: True
    assert not int(dut.fence__fenced.value)
    for turn in range(3 * TOTAL):
        env.send(turn % 3)
    await env.drain()
