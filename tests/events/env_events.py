"""Source, sink and model around the event queue."""
import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from spps.events import EventQueue
from spps_sim.model.events import EventQueueModel
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, reset, start_clock
from spps_sim.testbench.runner import default_seed


class Env:
    """Random events in, events out; every transfer and the level of every clock are compared with the model.

    idle, pause: probability of a gap before a transfer at `i` and at `o`.
    """

    def __init__(self, dut, depth, idle=0.0, pause=0.0):
        seed = default_seed() * 1000 + int(idle * 100) + int(pause * 10)
        self.dut, self.depth, self.rng = dut, depth, random.Random(seed)
        self.source = StreamSource(dut, "i", dut.clk, idle=idle, rng=random.Random(seed + 1))
        self.sink = StreamSink(dut, "o", dut.clk, pause=pause, rng=random.Random(seed + 2))
        self.counters = CounterMonitor(dut, dut.clk, EventQueue.COUNTERS)
        self.model = EventQueueModel(depth)
        self.got = self.stalls = 0

    @classmethod
    async def start(cls, dut, depth, idle=0.0, pause=0.0):
        """An Env around a block out of reset."""
        start_clock(dut)
        env = cls(dut, depth, idle, pause)
        await reset(dut)
        cocotb.start_soon(env._watch())
        return env

    async def _watch(self):
        before = False
        while True:
            await RisingEdge(self.dut.clk)
            await ReadOnly()
            if int(self.dut.rst.value):
                continue
            assert int(self.dut.level.value) == self.model.level
            full = self.model.level == self.depth and int(self.dut.i__valid.value)
            self.stalls += full and not before
            before = full
            i = int(self.dut.i__valid.value) and int(self.dut.i__ready.value)
            if int(self.dut.o__valid.value) and int(self.dut.o__ready.value):
                assert int(self.dut.o__payload.value) == self.model.get()
                self.got += 1
            if i:
                self.model.put(int(self.dut.i__payload.value))

    async def run(self, events):
        """Pass random events; returns the clocks until the last one has left."""
        for _ in range(events):
            self.source.send(self.rng.getrandbits(512))
        clocks = 0
        while self.got < events:
            await RisingEdge(self.dut.clk)
            clocks += 1
            assert clocks < 100 * events, "the queue hangs"
        await ClockCycles(self.dut.clk, 5)
        assert self.source.empty() and self.model.level == 0 and len(self.sink.received) == events
        assert int(self.dut.high_water.value) == self.model.high_water
        assert self.counters.total["overflow_stall"] == self.stalls
        self.dut._log.info("seed %d: %d events, %d clocks, high water %d, %d stalls", default_seed(), events, clocks,
                           self.model.high_water, self.stalls)
        return clocks
