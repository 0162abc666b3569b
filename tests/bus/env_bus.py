"""Sources, sinks and model around the message bus."""
import os
import random
from collections import deque

from cocotb.triggers import ClockCycles, RisingEdge

from spps.bus import MessageBus
from spps.layouts.director import CoreDone, Delivery
from spps.layouts.event import Event
from spps.layouts.lookup import SYN_FIELDS, LookupCommand, Replay, Syn
from spps.layouts.message import beat_layout
from spps.layouts.neighbour import Learned
from spps_sim.model.bus import BusModel, event_message
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, unpack
from spps_sim.testbench.runner import default_seed

CLUSTERS = int(os.environ["SPPS_P_CLUSTERS"])


class Env:
    """Every message carries its cluster where the target shows it, so order is checked per cluster and target."""

    def __init__(self, dut, idle, pause, slow=()):
        seed = default_seed() * 1000 + int(idle * 100) + int(pause * 10)
        self.dut, self.rng, self.model = dut, random.Random(seed), BusModel()

        def rng():
            return random.Random(self.rng.random())

        def sink(name, layout, callback):
            return StreamSink(dut, name, dut.clk, layout=layout, pause=0.97 if name in slow else pause, rng=rng(),
                              callback=callback)

        self.sources = [StreamSource(dut, f"i_cluster__{k}", dut.clk, layout=beat_layout(), idle=idle, rng=rng())
                        for k in range(CLUSTERS)]
        self.delivery = StreamSource(dut, "i_delivery", dut.clk, layout=Delivery, idle=idle, rng=rng())
        self.socket = sink("o_socket", beat_layout(), self.socket_beat)
        self.lookup = sink("o_lookup", LookupCommand, self.looked_up)
        self.replay = sink("o_replay", Replay, self.replayed)
        self.learn = sink("o_learn", Learned, self.learned)
        self.done = sink("o_done", CoreDone, self.finished)
        self.cores = [sink(f"o_cluster__{k}", beat_layout(), None) for k in range(CLUSTERS)]
        self.counters = CounterMonitor(dut, dut.clk, MessageBus.COUNTERS)
        targets = "done", "lookup", "replay", "socket", "learn"
        self.expected = {(target, k): deque() for target in targets for k in range(CLUSTERS)}
        self.order = [deque() for _ in range(CLUSTERS)]     # done and lookup of a cluster, in the order sent
        self.to_cluster = [[] for _ in range(CLUSTERS)]
        self.message = []

    def send(self, cluster, beats):
        target, what = self.model.route(cluster, beats)
        if target:
            self.expected[target, cluster].append(what)
            if target in ("done", "lookup", "replay"):
                self.order[cluster].append(target)
        for i, beat in enumerate(beats):
            self.sources[cluster].send({"data": beat, "last": int(i == len(beats) - 1)})

    def deliver(self, cluster):
        event, core, workspace, load = (self.rng.getrandbits(b) for b in (512, 4, 4, 1))
        self.delivery.send({"event": event, "cluster": cluster, "core": core, "workspace": workspace, "load": load})
        if cluster < CLUSTERS:
            self.to_cluster[cluster] += event_message(event, cluster, core, workspace, load)
        else:
            self.model.count["bad_unit"] += 1

    def socket_beat(self, beat):
        self.message.append(beat["data"])
        if beat["last"]:
            cluster = self.message[0] >> 16 & 15
            assert self.message == self.expected["socket", cluster].popleft()
            self.message = []

    def passed(self, target, cluster):
        """A Done and a SYN leave only after the lookup commands that their cluster sent before; no more is promised."""
        order = self.order[cluster]
        if target != "lookup":
            assert "lookup" not in list(order)[:order.index(target)], f"{target} overtook a lookup command"
        order.remove(target)

    def looked_up(self, command):
        cluster = command["conn"] >> 12
        *expected, key = self.expected["lookup", cluster].popleft()
        assert [command[name] for name in ("op", "conn", "leg", "half_open")] == expected
        assert key in (command["key"], None)
        self.passed("lookup", cluster)

    def replayed(self, value):
        syn = unpack(Syn, value["syn"])
        cluster = syn["seq"] >> 28
        event, wait = self.expected["replay", cluster].popleft()
        fields = unpack(Event, event)
        assert value["wait"] == wait and syn["again"] == 1
        assert {name: syn[name] for name in SYN_FIELDS} == {name: fields[name] for name in SYN_FIELDS}
        self.passed("replay", cluster)

    def learned(self, value):
        assert (value["argument"], value["body"]) == self.expected["learn", value["argument"] >> 12 & 15].popleft()

    def finished(self, value):
        assert (value["done"], value["cluster"], value["core"]) == self.expected["done", value["cluster"]].popleft()
        self.passed("done", value["cluster"])

    def random_message(self, cluster):
        rng = self.rng
        choice = rng.random()
        kind, unit, length = rng.choice(
            ((2, 0, 1), (7, 1, 2), (8, 1, 2), (9, 1, 0), (11, 1, 0), (13, 1, 0), (14, 1, 8), (15, 1, 0), (3, 2, 2),
             (4, 2, 0), (5, 2, 8), (6, 2, 25), (12, 3, 1)))
        if choice < 0.08:
            kind, unit = rng.randrange(256), rng.randrange(16)
            length = rng.randrange(5)
            if unit == 2 and kind in (3, 4, 5, 6):
                kind = 0
        elif choice < 0.12:
            length = rng.choice((0, 1, 2, 3, 7))
        argument = (cluster << 12 | rng.getrandbits(12)) | rng.getrandbits(1) << 16 | rng.getrandbits(15) << 17
        header = kind | unit << 8 | rng.randrange(16) << 12 | cluster << 16 | length << 24 | argument << 32
        beats = [rng.getrandbits(64) for _ in range(length)]
        if kind == 14 and length == 8:          # seq, the upper word of the third beat, says whose it is
            beats[2] = beats[2] & (1 << 60) - 1 | cluster << 60
        self.send(cluster, [header] + beats)

    async def drain(self):
        for _ in range(60000):
            await RisingEdge(self.dut.clk)
            if (all(s.empty() for s in self.sources) and self.delivery.empty() and not any(self.expected.values()) and
                    all(len(c.received) == len(e) for c, e in zip(self.cores, self.to_cluster))):
                break
        await ClockCycles(self.dut.clk, 30)
        assert not any(self.expected.values()) and not self.message
        for cluster, beats in zip(self.cores, self.to_cluster):
            assert [b["data"] for b in cluster.received] == beats
            assert all(b["last"] == (i % 9 == 8) for i, b in enumerate(cluster.received))
        assert dict(self.counters.total) == {name: self.model.count[name] for name in MessageBus.COUNTERS}
        self.dut._log.info("seed %d: %s", default_seed(), dict(self.counters.total))
