"""Cores and DMA that answer, drivers, monitors and model around the director."""
import os
import random
from collections import Counter, deque

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from spps.director import FlowDirector
from spps.layouts.director import (
    CoreDone,
    Delivery,
    Done,
    TimerAnswer,
    TimerSet,
)
from spps.layouts.dma import ClusterDma, DmaCommand
from spps.layouts.event import Event
from spps.layouts.lookup import LookupCommand
from spps_sim.model.director import DirectorModel
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import (
    StreamSink,
    StreamSource,
    pack,
    reset,
    start_clock,
    unpack,
)
from spps_sim.testbench.runner import default_seed

CONNECTIONS, CLUSTERS, CORES, WORKSPACES, SLOTS = (
    int(os.environ[f"SPPS_P_{k}"]) for k in ("CONNECTIONS", "CLUSTERS", "CORES", "WORKSPACES", "EVENT_SLOTS"))
TOTAL = CLUSTERS * CORES
TCP, ARP, TIMER, UNWANTED = 1, 2, 7, 11
LOAD, WRITE_BACK, CLEAR = 0, 1, 2
DELETE, FREE, PURGE = 1, 2, 4
NOW = 5000        # ticks
PROTOCOL = 0xA5   # of every event; a key that is given back carries it


class Env:
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
        self.answers = sink("o_answer", TimerAnswer, None)
        self.dropped = sink("o_drop", None, None)
        self.counters = CounterMonitor(dut, dut.clk, FlowDirector.COUNTERS)
        self.causes = Counter()         # of Dones with `close`
        self.model = DirectorModel(TOTAL, WORKSPACES, SLOTS)
        self.masks = [1 << TCP | 1 << TIMER | (1 << ARP if c % 2 == 0 else 0) for c in range(TOTAL)]
        dut.masks.value = sum(mask << 16 * c for c, mask in enumerate(self.masks))
        dut.core_enable.value = (1 << TOTAL) - 1
        dut.standby.value = dut.round_robin.value = 0
        dut.fence__limit.value = dut.fence__waiting.value = dut.fence__lift.value = 0
        dut.now.value = NOW
        self.kinds = {}                 # tag -> kind
        self.tag = 0
        self.dma = [deque() for _ in range(CLUSTERS)]
        self.writing = {}               # (core, workspace) -> conn, from Done to dma_done
        self.taken_done, self.expected_frees, self.expected_drops = deque(), deque(), deque()
        self.received = [0] * TOTAL     # deliveries a core has got and not yet processed
        self.deliveries = self.timers_taken = self.refused = self.lost = self.bad = self.traps = 0
        self.asked = None               # the timer event that has no answer yet
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
            "kind": kind, "conn": conn or 0, "noflow": int(conn is None), "new": new, "seq": self.tag,
            "payload_len": payload, "scratch_ref": self.tag & 0xFFFF, "src_ip": self.tag, "protocol": PROTOCOL})

    async def watch(self):
        dut, shown = self.dut, {"o_answer": 0, "o_delivery": 0, "o_set": 0}
        while True:
            await RisingEdge(dut.clk)
            await ReadOnly()
            for name in ("i_event", "i_timer"):
                if int(getattr(dut, f"{name}__valid").value) and int(getattr(dut, f"{name}__ready").value):
                    e = unpack(Event, int(getattr(dut, f"{name}__payload").value))
                    conn = None if e["noflow"] else e["conn"]
                    if name == "i_timer":
                        assert not self.asked, "a timer event is taken before the answer to the one before"
                        self.timers_taken += 1
                        self.asked = e
                        continue
                    if not any(mask >> e["kind"] & 1 for mask in self.masks):
                        self.lost += 1
                        if e["payload_len"]:
                            self.expected_drops.append(e["scratch_ref"])
                        if e["new"]:
                            self.expected_frees += [(DELETE, conn, e["src_ip"]), (FREE, conn, None)]
                        continue
                    self.model.arrive(conn, e["seq"])
            # what the director decides shows at its outputs one clock later, whether they wait or not
            for name, decided in (("o_answer", self.answered), ("o_delivery", self.decided), ("o_set", self.counted)):
                valid, ready = (int(getattr(dut, f"{name}__{w}").value) for w in ("valid", "ready"))
                if valid and not shown[name]:
                    decided(int(getattr(dut, f"{name}__payload").value))
                shown[name] = valid and not ready
            if int(dut.i_done__valid.value) and int(dut.i_done__ready.value):
                self.done_taken(unpack(CoreDone, int(dut.i_done__payload.value)))

    # what the director does
    def delivered(self, d):
        self.received[d["cluster"] * CORES + d["core"]] += 1

    def answered(self, payload):
        answer, event = unpack(TimerAnswer, payload), self.asked
        self.asked = None
        assert event and answer["conn"] == event["conn"], "an answer to nothing"
        if not answer["taken"]:
            self.refused += 1
            return
        assert event["conn"] not in self.model.at, "a timer event joined other events of its flow"
        self.model.arrive(event["conn"], event["seq"])

    def decided(self, payload):
        d = unpack(Delivery, payload)
        e = unpack(Event, d["event"])
        core = d["cluster"] * CORES + d["core"]
        assert self.masks[core] >> e["kind"] & 1, f"core {core} does not take kind {e['kind']}"
        self.deliveries += 1
        self.restarted += e["restart"]
        self.model.deliver(None if e["noflow"] else e["conn"], e["seq"], core, d["workspace"], d["load"],
                           new=bool(e["new"]), restart=bool(e["restart"]))

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
            assert item in self.expected_frees and c["key"] >> 96 & 0xFF == PROTOCOL
            self.expected_frees.remove(item)

    def done_taken(self, value):
        d = unpack(Done, value["done"])
        if d["spare"]:
            return                      # a forged one
        self.traps += d["trap"]
        if d["noflow"]:
            return
        self.causes[d["cause"]] += d["close"] and not d["trap"]
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
                trap = rng.random() < self.trap_rate or int(self.dut.fence__fenced.value) >> core & 1
                close = int(conn is not None and rng.random() < self.close_rate)
                self.received[core] -= 1
                *_, trap = self.model.process(core, close, bool(trap))
                trap = int(trap)
                done = pack(Done, {"conn": conn or 0, "workspace": workspace, "close": close,
                                   "noflow": int(conn is None), "trap": trap, "deadline": rng.getrandbits(32),
                                   "cause": rng.getrandbits(2)})
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
            if (not self.asked and self.events.empty() and self.timers.empty() and self.done.empty()
                and not self.model.waiting
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
        assert (total["keepalive_ended"], total["idle_ended"]) == (self.causes[1], self.causes[2])
        assert ((total["purged"], total["resumed"], total["restarted"])
                == (self.purges, self.model.count["resumed"], self.restarted))
        assert int(self.dut.idle.value) == 1 and int(self.dut.outstanding.value) == 0
        self.dut._log.info("seed %d: %s", default_seed(), dict(total))


async def start(dut, idle=0.0, pause=0.0, **kwargs):
    start_clock(dut)
    for name in ("i_event", "i_timer", "i_done", "i_dma_done"):
        getattr(dut, f"{name}__valid").value = 0
    env = Env(dut, idle, pause, **kwargs)
    await reset(dut)
    return env
