"""Random events through the queue; see test_events.py."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from spps.events import EventQueue
from spps_sim.model.events import EventQueueModel
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, reset, start_clock
from spps_sim.testbench.runner import default_seed

DEPTH = int(os.environ["SPPS_P_DEPTH"])


class TB:
    def __init__(self, dut, idle, pause):
        seed = default_seed() * 1000 + int(idle * 100) + int(pause * 10)
        self.dut, self.rng = dut, random.Random(seed)
        self.source = StreamSource(dut, "i", dut.clk, idle=idle, rng=random.Random(seed + 1))
        self.sink = StreamSink(dut, "o", dut.clk, pause=pause, rng=random.Random(seed + 2))
        self.counters = CounterMonitor(dut, dut.clk, EventQueue.COUNTERS)
        self.model = EventQueueModel(DEPTH)
        self.got = self.stalls = 0

    async def watch(self):
        """Follows the transfers at both ends; level is compared in every clock."""
        before = False
        while True:
            await RisingEdge(self.dut.clk)
            await ReadOnly()
            if int(self.dut.rst.value):
                continue
            assert int(self.dut.level.value) == self.model.level
            full = self.model.level == DEPTH and int(self.dut.i__valid.value)
            self.stalls += full and not before
            before = full
            i = int(self.dut.i__valid.value) and int(self.dut.i__ready.value)
            if int(self.dut.o__valid.value) and int(self.dut.o__ready.value):
                assert int(self.dut.o__payload.value) == self.model.get()
                self.got += 1
            if i:
                self.model.put(int(self.dut.i__payload.value))


async def run(dut, idle, pause, events=150):
    start_clock(dut)
    tb = TB(dut, idle, pause)
    await reset(dut)
    cocotb.start_soon(tb.watch())
    for _ in range(events):
        tb.source.send(tb.rng.getrandbits(512))
    clocks = 0
    while tb.got < events:
        await RisingEdge(dut.clk)
        clocks += 1
        assert clocks < 100 * events, "the queue hangs"
    await ClockCycles(dut.clk, 5)
    assert tb.source.empty() and tb.model.level == 0 and len(tb.sink.received) == events
    assert int(dut.high_water.value) == tb.model.high_water
    assert tb.counters.total["overflow_stall"] == tb.stalls
    dut._log.info("seed %d: %d events, %d clocks, high water %d, %d stalls", default_seed(), events, clocks,
                  tb.model.high_water, tb.stalls)
    return clocks


@cocotb.test()
async def passes_an_event_per_6_clocks(dut):
    assert await run(dut, 0.0, 0.0) <= 150 * 6 + 12


@cocotb.test()
@cocotb.parametrize((("idle", "pause"), [(0.9, 0.0), (0.0, 0.95), (0.6, 0.8)]))
async def keeps_order(dut, idle, pause):
    await run(dut, idle, pause)
