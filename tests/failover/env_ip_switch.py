"""An IP switch between an outside and two units."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps.failover import IpSwitch
from spps.layouts.packet import packet_layout
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, reset, start_clock

WIDTH = int(os.environ["SPPS_P_WIDTH"])
SEED = int(os.environ["SPPS_SEED"])


class Env:
    """Every word of a frame holds its serial number and length; ends[x] lists what arrived at port x: (serial, err)."""

    @classmethod
    async def start(cls, dut, idle=0.0, pause=0.0):
        """Start after a reset. idle, pause: share of clocks without valid, without ready."""
        start_clock(dut)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        env = cls(dut, idle, pause)
        await reset(dut)
        return env

    def __init__(self, dut, idle, pause):
        self.dut, self.rng = dut, random.Random(SEED)
        dut._log.info("seed %d", SEED)
        for name in ("dead", "force", "hold", "epoch"):
            getattr(dut, name).value = 0
        dut.active.value = 1
        layout = packet_layout(WIDTH)
        self.sources = {n: StreamSource(dut, n, dut.clk, layout=layout, idle=idle, rng=self.rng)
                        for n in ("i", "i_unit__0", "i_unit__1")}
        self.ends, self.partial, self.sinks = {}, {}, {}
        for n in ("o", "o_unit__0", "o_unit__1"):
            self.ends[n], self.partial[n] = [], []
            self.sinks[n] = StreamSink(dut, n, dut.clk, layout=layout, pause=pause, rng=self.rng,
                                       callback=lambda word, n=n: self._word(n, word))
        self.counts = dict.fromkeys(IpSwitch.COUNTERS, 0)
        cocotb.start_soon(self._count())

    async def _count(self):
        while True:
            await RisingEdge(self.dut.clk)
            for k, name in enumerate(IpSwitch.COUNTERS):
                self.counts[name] += int(self.dut.count.value) >> k & 1

    def _word(self, name, word):
        words = self.partial[name]
        words.append(word["data"])
        if word["last"]:
            if not word["err"]:
                assert words == [words[0]] * len(words) and len(words) == words[0] & 0xFF, (
                    f"{name}: frames mixed: {words}")
            self.ends[name].append((words[0] >> 8, word["err"]))
            self.partial[name] = []

    def send(self, name, serial, words, *, stop=None):
        """Send a frame of equal words, serial << 8 | number of words; stop: send only so many of them."""
        for k in range(words if stop is None else stop):
            self.sources[name].send({"data": serial << 8 | words, "last": int(k == words - 1)})

    async def drain(self):
        """Wait until everything was taken, and 100 clocks more."""
        while not all(s.empty() for s in self.sources.values()):
            await RisingEdge(self.dut.clk)
        await ClockCycles(self.dut.clk, 100)
