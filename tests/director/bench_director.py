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
    tb = await start(dut, idle, pause, **kwargs)
    rng = tb.rng
    for _ in range(events):
        choice = rng.random()
        conn = rng.randrange(5) if rng.random() < 0.7 else rng.randrange(CONNECTIONS)
        if choice < 0.75:
            tb.send(conn, new=int(rng.random() < 0.05))
        elif choice < 0.85:
            tb.send(None)
        elif choice < 0.9:
            tb.send(conn, kind=UNWANTED, new=rng.getrandbits(1), payload=rng.choice((0, 9)))
        else:
            tb.send(conn, timer=True)
    await tb.drain()
    assert tb.counters.total["write_backs"] > 20


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
    tb = await start(dut)
    tb.stop = True
    flows = min(TOTAL * WORKSPACES, CONNECTIONS, TOTAL * SLOTS)
    for conn in range(flows):
        tb.send(conn)
    await ClockCycles(dut.clk, 20 * flows)
    loads = [len(queue) for queue in tb.model.queue]
    assert sum(loads) == flows and max(loads) - min(loads) <= 1, loads
    tb.stop = False
    await tb.drain()


@cocotb.test()
async def gives_no_event_to_a_core_that_is_not_ok(dut):
    tb = await start(dut)
    dut.core_ok.value = 1
    for conn in range(min(WORKSPACES, CONNECTIONS)):
        tb.send(conn)
    await tb.drain()
    assert tb.deliveries == min(WORKSPACES, CONNECTIONS)
    dut.core_ok.value = 0
    tb.send(0)
    await ClockCycles(dut.clk, 100)
    assert len(tb.model.waiting) == 1
    dut.core_ok.value = 1
    await tb.drain()


@cocotb.test()
async def ignores_done_that_fits_nothing(dut):
    tb = await start(dut)
    for cluster, core, workspace, noflow in ((0, 0, 0, 0), (15, 0, 0, 1), (0, 15, 0, 0), (0, 0, 15, 0), (0, 0, 0, 1)):
        done = pack(Done, {"conn": 1, "workspace": workspace, "noflow": noflow, "close": 1, "spare": 1})
        tb.done.send({"done": done, "cluster": cluster, "core": core})
        tb.bad += 1
    await ClockCycles(dut.clk, 40)
    tb.send(1)
    await tb.drain()


@cocotb.test()
async def refuses_timer_of_busy_flow(dut):
    tb = await start(dut)
    tb.stop = True
    tb.send(3)
    await ClockCycles(dut.clk, 20)
    tb.send(3, timer=True)
    await ClockCycles(dut.clk, 20)
    assert tb.refused == 1
    tb.stop = False
    await tb.drain()
    tb.send(3, timer=True)
    await tb.drain()
    assert tb.counters.total["timers"] == 1


@cocotb.test()
async def a_flow_that_comes_back_needs_no_load(dut):
    tb = await start(dut, trap_rate=0, close_rate=0)
    for turn in range(4):
        tb.send(1)
        await tb.drain()
    total = tb.counters.total
    assert total["resumed"] == 3 and total["write_backs"] == 4


@cocotb.test()
async def a_standby_keeps_no_copy(dut):
    """The other unit's records change flowstate memory."""
    tb = await start(dut, trap_rate=0, close_rate=0)
    tb.send(1)
    await tb.drain()
    dut.standby.value = 1
    tb.model.forget()
    await ClockCycles(dut.clk, 2)
    tb.model.memory[1].append(-1)
    tb.model.arrived[1].append(-1)
    dut.standby.value = 0
    tb.send(1)
    await tb.drain()
    assert tb.counters.total["resumed"] == 0


@cocotb.test()
async def a_masked_core_gives_its_flows_away(dut):
    """As for a new program: events of a flow that is resident there go elsewhere, and come back to a fresh LOAD."""
    tb = await start(dut, trap_rate=0, close_rate=0)
    if TOTAL == 1:
        return
    tb.send(1)
    await tb.drain()
    home = next(iter(tb.model.space))[0]
    masks = list(tb.masks)
    tb.masks[home] = 0
    dut.masks.value = sum(mask << 16 * c for c, mask in enumerate(tb.masks))
    for turn in range(2):
        tb.send(1)
        await tb.drain()
    assert [place[0] for place in tb.model.space] != [home] and len(tb.model.space) == 1
    tb.masks = masks
    dut.masks.value = sum(mask << 16 * c for c, mask in enumerate(masks))
    for turn in range(3):
        tb.send(1)
        await tb.drain()
    assert tb.counters.total["resumed"] == 4        # one each time it comes back to where it was last


@cocotb.test()
async def a_trap_takes_the_flow_back_to_what_was_written(dut):
    tb = await start(dut, trap_rate=0, close_rate=0)
    tb.send(1)
    await tb.drain()
    tb.trap_rate = 1
    tb.send(1)
    await tb.drain()
    tb.trap_rate = 0
    tb.send(1, timer=True)
    tb.send(1)
    await tb.drain()
    assert tb.restarted == 1 and tb.model.memory[1] == [1, 3, 4] and tb.model.lost == {2}


@cocotb.test()
async def a_new_connection_that_is_lost_leaves_nothing(dut):
    tb = await start(dut, trap_rate=1, close_rate=0)
    tb.stop = True
    for turn in range(min(SLOTS, 3)):
        tb.send(1, new=int(turn == 0))
    await ClockCycles(dut.clk, 50)
    tb.stop = False
    await tb.drain()
    assert tb.purges == 1 and tb.restarted == 0
    tb.trap_rate = 0
    tb.send(1, new=1)
    tb.send(1)
    await tb.drain()
    assert tb.purges == 1 and tb.restarted == 0 and len(tb.model.memory[1]) == 2


@cocotb.test()
async def a_core_that_stops_answering_is_fenced(dut):
    tb = await start(dut, trap_rate=0, close_rate=0)
    dut.watchdog.value = 200
    for conn in range(3):
        tb.send(conn % CONNECTIONS)
    await tb.drain()
    home = min(place[0] for place in tb.model.space)
    tb.stuck = {home}
    dut.waiting.value = 1 << home
    for turn in range(2 * SLOTS):
        tb.send(turn % 3)
        await ClockCycles(dut.clk, 100)
    assert int(dut.fenced.value) == 0, "a core that waits for the bus is not stuck"
    dut.waiting.value = 0
    while not int(dut.fenced.value):
        await RisingEdge(dut.clk)
    tb.model.forget(cores={home})
    tb.keeps = lambda core: TOTAL == 1 or core != home      # a single core is used again at once
    assert int(dut.fenced.value) == 1 << home
    if TOTAL == 1:                                      # nobody else is there: events wait
        dut.lift.value = 1
        await ClockCycles(dut.clk, 1)
        dut.lift.value = 0
        await ClockCycles(dut.clk, 20)
        assert int(dut.fenced.value), "not while the core has events"
    tb.stuck = set()                                    # the cluster answers for it
    await tb.drain()
    for conn in range(min(3, CONNECTIONS)):
        tb.send(conn)
    await tb.drain()
    assert tb.restarted >= 1 and tb.counters.total["fences"] == 1 and tb.traps >= 1
    if TOTAL > 1:
        assert int(dut.fenced.value) and not any(place[0] == home for place in tb.model.space)
        dut.lift.value = 1 << home
        await ClockCycles(dut.clk, 1)
        dut.lift.value = 0
        await ClockCycles(dut.clk, 3)
    tb.keeps = lambda core: True
    assert not int(dut.fenced.value)
    for turn in range(3 * TOTAL):
        tb.send(turn % 3)
    await tb.drain()
