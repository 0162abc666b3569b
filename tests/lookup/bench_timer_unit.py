"""Random deadlines, refusals and kicks; see test_lookup.py."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from spps.layouts.director import TimerSet
from spps.layouts.event import Event
from spps.lookup import TimerUnit
from spps_sim.model.lookup import TimerModel
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import StreamSource, reset, start_clock, unpack
from spps_sim.testbench.runner import default_seed

CONNECTIONS = int(os.environ["SPPS_P_CONNECTIONS"])
TIMER, DEADLINE, KICK = 7, 0, 1


class TB:
    """Plays lookup (which ids are in use) and director (which flows are busy)."""

    def __init__(self, dut, idle, pause, start):
        seed = default_seed() * 1000 + int(idle * 100) + int(pause * 10)
        self.dut, self.rng, self.pause = dut, random.Random(seed), pause
        self.sets = StreamSource(dut, "i_set", dut.clk, layout=TimerSet, idle=idle, rng=random.Random(seed + 1))
        self.counters = CounterMonitor(dut, dut.clk, TimerUnit.COUNTERS)
        self.model = TimerModel(CONNECTIONS)
        self.busy, self.used = set(), set()
        self.now = start
        self.fired, self.kicked, self.refused = [], [], 0
        self.tick = 40
        dut.now.value, dut.kick.value, dut.refused.value, dut.scan_valid.value = start, 0, 0, 0
        dut.o_timer__ready.value = 0
        self.late_when_shown = None

    async def run(self):
        dut, clock, shown = self.dut, 0, None
        while True:
            await RisingEdge(dut.clk)
            clock += 1
            if clock % self.tick == 0:
                self.now = (self.now + 1) % 2**32
                dut.now.value = self.now
            # like the director, takes an offer only some time after it has seen it
            ready = shown is not None and self.rng.random() >= self.pause
            dut.o_timer__ready.value = int(ready)
            dut.refused.value = int(ready and shown["conn"] in self.busy)
            dut.scan_valid.value = int(self.scan in self.used) if clock > 1 else 0
            await ReadOnly()
            self.scan = int(dut.scan_conn.value)
            if int(dut.i_set__valid.value) and int(dut.i_set__ready.value):
                s = unpack(TimerSet, int(dut.i_set__payload.value))
                self.model.set(s["conn"], s["deadline"])
                if shown and shown["conn"] == s["conn"]:
                    self.renewed = True
            if int(dut.o_timer__valid.value):
                event = unpack(Event, int(dut.o_timer__payload.value))
                if shown is None:
                    shown, self.renewed = event, False
                    assert event["kind"] == TIMER and not any(
                        v for k, v in event.items() if k not in ("kind", "subtype", "conn", "seq"))
                    # a set of the clock before the event shows may already have replaced the deadline
                    due = event["conn"] in self.model.kick if event["subtype"] == KICK else \
                        self.model.late(event["conn"], event["seq"])
                    assert due, f"{event} is not due"
                assert event == shown, "the offer changed"
                if ready:
                    self.taken(event)
                    shown = None

    scan = 0

    def taken(self, event):
        conn = event["conn"]
        if conn in self.busy:
            self.refused += 1
        elif event["subtype"] == KICK:
            self.model.kick.remove(conn)
            self.kicked.append(conn)
        else:
            self.fired.append((conn, self.now))
            if not self.renewed:
                del self.model.deadline[conn]

    async def kick(self):
        self.dut.kick.value = 1
        await RisingEdge(self.dut.clk)
        self.dut.kick.value = 0
        self.model.kick |= self.used

    async def finish(self):
        self.busy.clear()
        for _ in range(200000):
            await RisingEdge(self.dut.clk)
            if self.sets.empty() and not self.model.deadline and not self.model.kick and not int(self.dut.o_timer__valid.value):
                break
        await ClockCycles(self.dut.clk, 30)
        assert not self.model.deadline and not self.model.kick and int(self.dut.armed.value) == 0
        assert dict(self.counters.total) == {"fired": len(self.fired), "kicked": len(self.kicked), "refused": self.refused,
                                             "bad_conn": self.model.count["bad_conn"]}
        self.dut._log.info("seed %d: %s", default_seed(), dict(self.counters.total))


async def start(dut, idle=0.0, pause=0.0, now=2**32 - 60):
    start_clock(dut)
    tb = TB(dut, idle, pause, now)
    await reset(dut)
    cocotb.start_soon(tb.run())
    return tb


async def random_deadlines(dut, idle, pause):
    """Ticks wrap around 2^32 on the way."""
    tb = await start(dut, idle, pause)
    rng = tb.rng
    for _ in range(150):
        conn = rng.randrange(CONNECTIONS) if rng.random() < 0.97 else 0xFFFF
        deadline = rng.choice((0, (tb.now + rng.randrange(-2, 12)) % 2**32))
        tb.sets.send({"conn": conn, "deadline": deadline})
        tb.busy = set(rng.sample(range(CONNECTIONS), 4)) if rng.random() < 0.3 else tb.busy
        await ClockCycles(dut.clk, rng.randrange(60))
    await tb.finish()
    assert tb.refused and tb.fired


@cocotb.test()
@cocotb.parametrize((("idle", "pause"), [(0.0, 0.0), (0.5, 0.8)]))
async def fires_when_due(dut, idle, pause):
    await random_deadlines(dut, idle, pause)


@cocotb.test()
async def kick_reaches_each_connection_once(dut):
    tb = await start(dut)
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    tb.used = {1, 2, 5, CONNECTIONS - 1}
    tb.busy = {2}
    await tb.kick()
    await ClockCycles(dut.clk, 20 * CONNECTIONS)
    assert sorted(tb.kicked) == sorted(tb.used - {2}) and tb.refused
    tb.busy = set()
    await tb.finish()
    assert sorted(tb.kicked) == sorted(tb.used)
    await tb.kick()
    await tb.finish()
    assert len(tb.kicked) == 2 * len(tb.used)


@cocotb.test()
async def late_by_at_most_a_scan(dut):
    tb = await start(dut, now=100)
    tb.tick = 8 * CONNECTIONS
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    for conn in range(CONNECTIONS):
        tb.sets.send({"conn": conn, "deadline": tb.now + 2 + conn % 3})
    wanted = {conn: tb.now + 2 + conn % 3 for conn in range(CONNECTIONS)}
    await tb.finish()
    assert dict(tb.fired) == wanted


@cocotb.test()
async def waiting_offer_never_holds_sets(dut):
    tb = await start(dut, pause=1.1, now=100)
    await ClockCycles(dut.clk, 2 * CONNECTIONS)
    for conn in range(CONNECTIONS):
        tb.sets.send({"conn": conn, "deadline": 90})
    await ClockCycles(dut.clk, 40 + 4 * CONNECTIONS)
    assert int(dut.o_timer__valid.value) and tb.sets.empty()
    tb.pause = 0.0
    await tb.finish()
    assert sorted(conn for conn, _ in tb.fired) == list(range(CONNECTIONS))
