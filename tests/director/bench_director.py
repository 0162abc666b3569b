"""Events, timers, cores and DMA around the director; see test_director.py."""
import os
import random
from collections import deque

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from spps.director import FlowDirector
from spps.layouts.event import Event
from spps.layouts.message import ClusterDma, CoreDone, Delivery, DmaCommand, Done, LookupCommand, TimerSet
from spps_sim.bus.counters import CounterMonitor
from spps_sim.bus.stream import StreamSink, StreamSource, pack, reset, start_clock, unpack
from spps_sim.harness import default_seed
from spps_sim.model.director import DirectorModel

CONNECTIONS, CLUSTERS, CORES, WORKSPACES, SLOTS = (
    int(os.environ[f"SPPS_P_{k}"]) for k in ("CONNECTIONS", "CLUSTERS", "CORES", "WORKSPACES", "EVENT_SLOTS"))
TOTAL = CLUSTERS * CORES
TCP, ARP, TIMER, UNWANTED = 1, 2, 7, 11
LOAD, WRITE_BACK, CLEAR = 0, 1, 2
DELETE, FREE, PURGE = 1, 2, 4
NOW = 5000        # ticks


class TB:
    """Plays lookup, timers, cores and the clusters' DMA. An event's tag is in its field seq."""

    def __init__(self, dut, idle, pause, hold=8, trap_rate=0.03, close_rate=0.05):
        seed = default_seed() * 1000 + int(idle * 100) + int(pause * 10)
        self.dut, self.rng, self.hold, self.trap_rate = dut, random.Random(seed), hold, trap_rate
        self.close_rate = close_rate

        def rng():
            return random.Random(self.rng.random())

        def sink(name, layout, callback):
            return StreamSink(dut, name, dut.clk, layout=layout, pause=pause, rng=rng(), callback=callback)

        self.events = StreamSource(dut, "i_event", dut.clk, layout=Event, idle=idle, rng=rng())
        self.timers = StreamSource(dut, "i_timer", dut.clk, layout=Event, idle=min(0.9, idle + 0.3), rng=rng())
        self.done = StreamSource(dut, "i_done", dut.clk, layout=CoreDone, idle=idle, rng=rng())
        self.dma_done = StreamSource(dut, "i_dma_done", dut.clk, layout=ClusterDma, idle=idle, rng=rng())
        sink("o_delivery", Delivery, self.delivered)
        sink("o_dma", ClusterDma, self.commanded)
        sink("o_set", TimerSet, None)
        sink("o_free", LookupCommand, self.freed)
        self.dropped = sink("o_drop", None, None)
        self.counters = CounterMonitor(dut, dut.clk, FlowDirector.COUNTERS)
        self.model = DirectorModel(TOTAL, WORKSPACES, SLOTS)
        self.masks = [1 << TCP | 1 << TIMER | (1 << ARP if c % 2 == 0 else 0) for c in range(TOTAL)]
        dut.masks.value = sum(mask << 16 * c for c, mask in enumerate(self.masks))
        dut.core_ok.value = (1 << TOTAL) - 1
        dut.standby.value = dut.watchdog.value = dut.waiting.value = dut.lift.value = 0
        dut.now.value = NOW
        self.kinds = {}                 # tag -> kind
        self.tag = 0
        self.dma = [deque() for _ in range(CLUSTERS)]
        self.writing = {}               # (core, workspace) -> conn, from Done to dma_done
        self.taken_done, self.expected_frees, self.expected_drops = deque(), deque(), deque()
        self.received = [0] * TOTAL     # deliveries a core has got and not yet processed
        self.deliveries = self.timers_taken = self.refused = self.lost = self.bad = self.traps = 0
        self.stop = False
        self.stuck = set()              # cores that answer nothing
        self.keeps = lambda core: True  # may a copy stay at this core
        self.purges = self.resumed = self.restarted = 0
        cocotb.start_soon(self.run_cores())
        cocotb.start_soon(self.run_dma())
        cocotb.start_soon(self.watch())

    # events in
    def send(self, conn=None, kind=None, timer=False, new=0, payload=0):
        self.tag += 1
        kind = TIMER if timer else kind if kind is not None else TCP if conn is not None else ARP
        self.kinds[self.tag] = kind
        (self.timers if timer else self.events).send({
            "kind": kind, "conn": conn or 0, "noflow": int(conn is None), "new": new, "seq": self.tag, "payload_len": payload,
            "scratch_ref": self.tag & 0xFFFF, "src_ip": self.tag})

    async def watch(self):
        dut, shown = self.dut, {"o_delivery": 0, "o_set": 0}
        while True:
            await RisingEdge(dut.clk)
            await ReadOnly()
            for name in ("i_event", "i_timer"):
                if int(getattr(dut, f"{name}__valid").value) and int(getattr(dut, f"{name}__ready").value):
                    e = unpack(Event, int(getattr(dut, f"{name}__payload").value))
                    conn = None if e["noflow"] else e["conn"]
                    if name == "i_timer":
                        self.timers_taken += 1
                        if int(dut.timer_refused.value):
                            self.refused += 1
                            continue
                        assert conn not in self.model.at, "a timer event joined other events of its flow"
                    elif not any(mask >> e["kind"] & 1 for mask in self.masks):
                        self.lost += 1
                        if e["payload_len"]:
                            self.expected_drops.append(e["scratch_ref"])
                        if e["new"]:
                            self.expected_frees += [(DELETE, conn, e["src_ip"]), (FREE, conn, None)]
                        continue
                    self.model.arrive(conn, e["seq"])
                else:
                    assert name != "i_timer" or not int(dut.timer_refused.value)
            # what the director decides shows at its outputs one clock later, whether they wait or not
            for name, decided in (("o_delivery", self.decided), ("o_set", self.counted)):
                valid, ready = (int(getattr(dut, f"{name}__{w}").value) for w in ("valid", "ready"))
                if valid and not shown[name]:
                    decided(int(getattr(dut, f"{name}__payload").value))
                shown[name] = valid and not ready
            if int(dut.i_done__valid.value) and int(dut.i_done__ready.value):
                self.done_taken(unpack(CoreDone, int(dut.i_done__payload.value)))

    # what the director does
    def delivered(self, d):
        self.received[d["cluster"] * CORES + d["core"]] += 1

    def decided(self, payload):
        d = unpack(Delivery, payload)
        e = unpack(Event, d["event"])
        core = d["cluster"] * CORES + d["core"]
        assert self.masks[core] >> e["kind"] & 1, f"core {core} does not take kind {e['kind']}"
        self.deliveries += 1
        self.restarted += e["restart"]
        self.model.deliver(None if e["noflow"] else e["conn"], e["seq"], core, d["workspace"], d["load"], new=bool(e["new"]),
                           restart=bool(e["restart"]))

    def commanded(self, value):
        c = unpack(DmaCommand, value["command"])
        place = value["cluster"] * CORES + c["core"], c["workspace"]
        if c["op"] == WRITE_BACK:
            assert self.writing.get(place) == c["conn"], "write-back of a flow that is not finished"
        self.dma[value["cluster"]].append((value, c, place))

    def counted(self, payload):
        """The Done taken last has been counted in the CAM."""
        value = unpack(TimerSet, payload)
        place, d = self.taken_done.popleft()
        what, closed = self.model.finish(*place, d["trap"]) or (None, False)
        deadline = 0 if closed or what == "purge" else NOW | 1 if d["trap"] else d["deadline"]
        assert (value["conn"], value["deadline"]) == (d["conn"], deadline)
        if what == "write_back":
            self.writing[place] = d["conn"]
        if closed:
            self.expected_frees.append((FREE, d["conn"], None))
        if what == "purge":
            self.purges += 1
            self.expected_frees.append((PURGE, d["conn"], None))

    def freed(self, c):
        if c["op"] in (FREE, PURGE):
            assert (c["op"], c["conn"], None) in self.expected_frees
            self.expected_frees.remove((c["op"], c["conn"], None))
        else:
            item = DELETE, c["conn"], c["key"] & 0xFFFFFFFF
            assert item in self.expected_frees and c["key"] >> 96 & 0xFF == 6
            self.expected_frees.remove(item)

    def done_taken(self, value):
        d = unpack(Done, value["done"])
        if d["spare"]:
            return                      # a forged one
        self.traps += d["trap"]
        if d["noflow"]:
            return
        place = value["cluster"] * CORES + value["core"], d["workspace"]
        self.taken_done.append((place, d))

    # cores and DMA
    async def run_cores(self):
        rng = self.rng
        while True:
            await RisingEdge(self.dut.clk)
            for core in range(TOTAL):
                queue = self.model.queue[core]
                if not self.received[core] or rng.random() * self.hold > 1 or self.stop or core in self.stuck:
                    continue
                conn, workspace, tag = queue[0]
                if conn is not None and not self.model.space[core, workspace].loaded:
                    continue            # not loaded yet
                trap = rng.random() < self.trap_rate or int(self.dut.fenced.value) >> core & 1
                close = int(conn is not None and rng.random() < self.close_rate)
                self.received[core] -= 1
                *_, trap = self.model.process(core, close, bool(trap))
                trap = int(trap)
                done = pack(Done, {"conn": conn or 0, "workspace": workspace, "close": close, "noflow": int(conn is None),
                                   "trap": trap, "deadline": rng.getrandbits(32)})
                self.done.send({"done": done, "cluster": core // CORES, "core": core % CORES})

    async def run_dma(self):
        rng = self.rng
        while True:
            await RisingEdge(self.dut.clk)
            for queue in self.dma:
                if queue and rng.random() < 0.15:
                    value, c, place = queue[0]
                    if c["op"] != WRITE_BACK:
                        space = self.model.space.get(place)
                        if space is None or space.conn != c["conn"] or space.loaded:
                            continue    # the delivery is still on its way
                        (self.model.load if c["op"] == LOAD else self.model.clear)(c["conn"], *place)
                    else:
                        del self.writing[place]
                        self.model.write_back(c["conn"], *place, keep=self.keeps(place[0]))
                    queue.popleft()
                    self.dma_done.send(value)

    async def drain(self, limit=60000):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if (self.events.empty() and self.timers.empty() and self.done.empty() and not self.model.waiting
                    and not self.model.at and not any(self.model.queue)):
                break
        await ClockCycles(self.dut.clk, 200)
        self.model.check_end()
        assert not self.taken_done and not self.expected_frees and not self.writing and not any(self.dma)
        assert list(self.dropped.received) == list(self.expected_drops)
        total = self.counters.total
        assert total["delivered"] == self.deliveries and total["no_core"] == self.lost
        assert total["delivered"] - total["timers"] + total["no_core"] == self.events.sent
        assert total["timers"] + total["timer_refused"] == self.timers.sent == self.timers_taken
        assert total["timer_refused"] == self.refused and total["bad_done"] == self.bad and total["traps"] == self.traps
        assert (total["purged"], total["resumed"], total["restarted"]) == (self.purges, self.model.count["resumed"], self.restarted)
        assert int(self.dut.idle.value) == 1 and int(self.dut.outstanding.value) == 0
        self.dut._log.info("seed %d: %s", default_seed(), dict(total))


async def start(dut, idle=0.0, pause=0.0, **kwargs):
    start_clock(dut)
    for name in ("i_event", "i_timer", "i_done", "i_dma_done"):
        getattr(dut, f"{name}__valid").value = 0
    tb = TB(dut, idle, pause, **kwargs)
    await reset(dut)
    return tb


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
