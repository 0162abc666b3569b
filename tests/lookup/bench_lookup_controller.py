"""Random events and commands; see test_lookup.py."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from spps.layouts.event import Event
from spps.layouts.lookup import LookupCommand
from spps.lookup import LookupController
from spps_sim.model.lookup import LookupModel, flow_key
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import (
    StreamSink,
    StreamSource,
    reset,
    start_clock,
    unpack,
)
from spps_sim.testbench.runner import default_seed

CONNECTIONS = int(os.environ["SPPS_P_CONNECTIONS"])
INSERT, DELETE, FREE, ESTABLISHED, PURGE = range(5)


class TB:
    def __init__(self, dut, idle, pause):
        seed = default_seed() * 1000 + int(idle * 100) + int(pause * 10)
        self.dut, self.rng = dut, random.Random(seed)

        def rng():
            return random.Random(self.rng.random())

        self.events = StreamSource(dut, "i_event", dut.clk, layout=Event, idle=idle, rng=rng())
        self.commands = StreamSource(dut, "i_cmd", dut.clk, layout=LookupCommand, idle=0.97 if idle else 0.9, rng=rng())
        self.out = StreamSink(dut, "o_event", dut.clk, layout=Event, pause=pause, rng=rng())
        self.dropped = StreamSink(dut, "o_drop", dut.clk, pause=pause, rng=rng())
        self.counters = CounterMonitor(dut, dut.clk, LookupController.COUNTERS)
        secret = self.rng.getrandbits(64)
        dut.secret.value, dut.active.value, dut.scan_conn.value, dut.half_open_limit.value = secret, 1, 0, 0
        self.model = LookupModel(CONNECTIONS, secret)
        self.model.active = 1
        self.pending = None             # what the model said of the event inside
        self.drops = []
        self.taken_events = self.taken_commands = 0
        self.flows = [(self.rng.getrandbits(32), self.rng.getrandbits(32), self.rng.getrandbits(16), self.rng.getrandbits(16),
                       self.rng.randrange(3)) for _ in range(3 * CONNECTIONS)]
        # keys that differ in one bit from another: only a full comparison tells them apart
        for flow in self.flows[:CONNECTIONS]:
            field = self.rng.randrange(4)
            self.flows.append(tuple(v ^ 1 if i == field else v for i, v in enumerate(flow)))

    async def watch(self):
        """Steps the model in the order in which the block takes events and commands."""
        dut, shown = self.dut, False
        while True:
            await RisingEdge(dut.clk)
            await ReadOnly()
            valid = int(dut.o_event__valid.value)
            if valid and not shown:
                assert self.pending, "an event nobody sent"
                self.check(unpack(Event, int(dut.o_event__payload.value)))
            shown = valid and not int(dut.o_event__ready.value)
            if int(dut.i_cmd__valid.value) and int(dut.i_cmd__ready.value):
                c = unpack(LookupCommand, int(dut.i_cmd__payload.value))
                self.model.command(c["op"], c["conn"], c["leg"], c["key"])
                self.taken_commands += 1
            if int(dut.i_event__valid.value) and int(dut.i_event__ready.value):
                assert self.pending is None, "the event before has not come out"
                e = unpack(Event, int(dut.i_event__payload.value))
                verdict, what = self.model.event(e)
                self.taken_events += 1
                if verdict == "drop":
                    if what is not None:
                        self.drops.append(what)
                else:
                    self.pending = e, verdict, what

    def check(self, got):
        sent, verdict, changes = self.pending
        self.pending = None
        if verdict == "new":
            self.model.created(got["conn"])
            changes = {**changes, "conn": got["conn"]}
        assert got == {**sent, **changes}

    def event(self, flow=None, **fields):
        rng = self.rng
        flow = flow or rng.choice(self.flows)
        e = {name: rng.getrandbits(shape.width) for name, shape in Event.as_shape()}
        e |= dict(zip(("src_ip", "dst_ip", "src_port", "dst_port", "iface"), flow))
        e |= {"kind": 1 if rng.random() < 0.9 else rng.choice((2, 3, 4, 5, 6, 0, 77)),
              "tcp_flags": rng.choice((2, 2, 2, 16, 24, 18, 6, 4, 0xC2)), "payload_len": rng.choice((0, 100))}
        self.events.send({**e, **fields})

    def command(self, op, conn, leg=0, flow=None):
        key = flow_key(*flow) if flow else self.rng.getrandbits(116)
        self.commands.send({"op": op, "conn": conn, "leg": leg, "key": key})

    async def drain(self, limit=200000):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if self.events.empty() and self.commands.empty():
                break
        await ClockCycles(self.dut.clk, 300)
        total, model = self.counters.total, self.model
        assert self.pending is None and not int(self.dut.o_event__valid.value)
        assert list(self.dropped.received) == self.drops
        assert {name: total[name] for name in total if name != "quick_hits"} == \
            {name: model.count[name] for name in total if name != "quick_hits"}
        assert self.taken_events == sum(total[n] for n in ("hits", "created", "noflow", "standby_drop", "refused"))
        assert self.taken_events == self.events.sent and self.taken_commands == self.commands.sent
        assert int(self.dut.in_use.value) == len(model.used) and int(self.dut.half_open.value) == len(model.half_open)
        self.dut._log.info("seed %d: %s", default_seed(), dict(total))

    async def scan(self):
        """The ids that the timer unit would see as in use."""
        seen = set()
        for conn in range(CONNECTIONS):
            self.dut.scan_conn.value = conn
            await ClockCycles(self.dut.clk, 2)
            await ReadOnly()
            if int(self.dut.scan_valid.value):
                seen.add(conn)
            await RisingEdge(self.dut.clk)
        return seen


async def start(dut, idle=0.0, pause=0.0):
    start_clock(dut)
    tb = TB(dut, idle, pause)
    await reset(dut)
    cocotb.start_soon(tb.watch())
    return tb


async def random_traffic(dut, idle, pause, events=500, half_open_limit=0):
    tb = await start(dut, idle, pause)
    dut.half_open_limit.value = tb.model.half_open_limit = half_open_limit
    rng = tb.rng
    for _ in range(events):
        recent = rng.choice(tb.flows[:6]) if rng.random() < 0.4 else None
        tb.event(recent)
        if rng.random() < 0.5:
            op = rng.choice((INSERT, INSERT, DELETE, DELETE, FREE, FREE, ESTABLISHED, PURGE))
            conn = rng.randrange(CONNECTIONS) if rng.random() < 0.95 else rng.choice((CONNECTIONS, 0xFFFF))
            tb.command(op, conn, rng.randrange(2), rng.choice(tb.flows) if rng.random() < 0.9 else None)
    await tb.drain()
    assert await tb.scan() == tb.model.used


@cocotb.test()
@cocotb.parametrize((("idle", "pause"), [(0.0, 0.0), (0.97, 0.0), (0.0, 0.97), (0.9, 0.9)]))
async def agrees_with_model(dut, idle, pause):
    await random_traffic(dut, idle, pause)


@cocotb.test()
async def agrees_with_model_with_few_half_open(dut):
    await random_traffic(dut, 0.3, 0.3, half_open_limit=1)


@cocotb.test()
async def half_open_limit_refuses_and_established_gives_room(dut):
    tb = await start(dut)
    limit = dut.half_open_limit.value = tb.model.half_open_limit = CONNECTIONS // 2
    for flow in tb.flows[:CONNECTIONS]:
        tb.event(flow, kind=1, tcp_flags=2)
    await tb.drain()
    total = tb.counters.total
    assert total["created"] == limit and total["half_open_refused"] == CONNECTIONS - limit and not total["table_full"]
    tb.command(ESTABLISHED, next(iter(tb.model.half_open)))
    await tb.drain()
    for flow in tb.flows[CONNECTIONS:2 * CONNECTIONS]:
        tb.event(flow, kind=1, tcp_flags=2)
    await tb.drain()
    assert tb.counters.total["created"] == limit + 1
    for flow in tb.flows[:limit]:                   # those in a handshake go on
        tb.event(flow, kind=1, tcp_flags=16)
    await tb.drain()
    assert tb.counters.total["hits"] == limit


@cocotb.test()
async def standby_drops_events_and_obeys_commands(dut):
    tb = await start(dut)
    dut.active.value = 0
    tb.model.active = 0
    for i in range(20):
        tb.event()
    tb.command(INSERT, 1, 1, tb.flows[0])
    await tb.drain()
    assert tb.counters.total["standby_drop"] == 20 and await tb.scan() == {1}
    dut.active.value = 1
    tb.model.active = 1
    tb.event(tb.flows[0], kind=1, tcp_flags=16)     # known at once after takeover
    tb.event(tb.flows[1], kind=1, tcp_flags=2)      # and 1 is not given away
    await tb.drain()
    assert tb.counters.total["hits"] == 1 and tb.counters.total["created"] == 1


@cocotb.test()
async def full_table_refuses_and_keeps_established(dut):
    tb = await start(dut)
    for flow in tb.flows[:CONNECTIONS]:
        tb.event(flow, kind=1, tcp_flags=2)
    await tb.drain()
    made = tb.counters.total["created"]
    for flow in tb.flows[CONNECTIONS:2 * CONNECTIONS]:
        tb.event(flow, kind=1, tcp_flags=2, payload_len=4)
    await tb.drain()
    assert tb.counters.total["refused"] >= CONNECTIONS and tb.counters.total["created"] == made
    for flow in tb.flows[:CONNECTIONS]:
        tb.event(flow, kind=1, tcp_flags=16)
    await tb.drain()
    assert tb.counters.total["hits"] == made == CONNECTIONS


@cocotb.test()
async def commands_pass_while_event_waits(dut):
    """Whoever waits for a command never waits for an event: o_event and o_drop are blocked for good."""
    tb = await start(dut)
    tb.out.pause = tb.dropped.pause = 1.1
    tb.commands.idle = 0.0
    for _ in range(3):
        tb.event(kind=1, tcp_flags=2)
    await ClockCycles(dut.clk, 200)
    for conn in range(CONNECTIONS):
        tb.command(INSERT, conn, 0, tb.flows[5])
        tb.command(DELETE, conn, 0, tb.flows[5])
    await ClockCycles(dut.clk, 120 * CONNECTIONS)
    assert tb.taken_commands == 2 * CONNECTIONS and tb.taken_events == 1
    tb.out.pause = tb.dropped.pause = 0.0
    await tb.drain()


@cocotb.test()
async def latency_is_as_documented(dut):
    tb = await start(dut)
    tb.event(tb.flows[0], kind=1, tcp_flags=2)
    await tb.drain()

    async def clocks(**fields):
        before = len(tb.out.received)
        tb.event(**fields)
        while not (int(dut.i_event__valid.value) and int(dut.i_event__ready.value)):
            await RisingEdge(dut.clk)
            await ReadOnly()
        n = 0
        while len(tb.out.received) == before:
            await RisingEdge(dut.clk)
            await ReadOnly()
            n += 1
        await RisingEdge(dut.clk)
        return n

    quick = await clocks(flow=tb.flows[0], kind=1, tcp_flags=16)
    unknown = await clocks(flow=tb.flows[1], kind=1, tcp_flags=16)
    dut._log.info("quick list %d clocks, miss %d clocks", quick, unknown)
    assert quick <= 4 and unknown <= 38
