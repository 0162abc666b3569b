"""Frames to and from two units while the ownership changes, units die, and others stall in mid-frame."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from spps.failover import IpSwitch
from spps.layouts.packet import packet_layout
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, reset, start_clock

WIDTH = int(os.environ["SPPS_P_WIDTH"])
SEED = int(os.environ["SPPS_SEED"])
BYTES = WIDTH // 8


class Bench:
    """Every frame starts with a word that holds its serial number; ends[x] = serials that arrived at x: (serial, err)."""

    @classmethod
    async def start(cls, dut, idle=0.0, pause=0.0):
        start_clock(dut)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        bench = cls(dut, idle, pause)
        await reset(dut)
        return bench

    def __init__(self, dut, idle, pause):
        self.dut, self.rng = dut, random.Random(SEED)
        dut._log.info("seed %d", SEED)
        for name in ("dead", "force", "epoch"):
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
                assert words == [words[0]] * len(words) and len(words) == words[0] & 0xFF, f"{name}: frames mixed: {words}"
            self.ends[name].append((words[0] >> 8, word["err"]))
            self.partial[name] = []

    def send(self, name, serial, words, *, stop=None):
        """A frame of equal words, serial << 8 | number of words; stop: send only so many."""
        for k in range(words if stop is None else stop):
            self.sources[name].send({"data": serial << 8 | words, "last": int(k == words - 1)})

    async def drain(self):
        while not all(s.empty() for s in self.sources.values()):
            await RisingEdge(self.dut.clk)
        await ClockCycles(self.dut.clk, 100)


async def _switching(dut, idle, pause):
    bench = await Bench.start(dut, idle, pause)
    rng, sent = bench.rng, dict.fromkeys(("i", "i_unit__0", "i_unit__1"), 0)
    for turn in range(40):
        for name in sent:
            for _ in range(rng.randrange(4)):
                bench.send(name, sent[name], rng.randrange(1, 12))
                sent[name] += 1
        await ClockCycles(dut.clk, rng.randrange(1, 60))
        # both claim at times: then the later epoch counts
        dut.active.value = rng.choice((1, 2, 3))
        dut.epoch.value = rng.choice((5 << 16 | 4, 4 << 16 | 5, 0xFFFF))
    await bench.drain()
    arrived = [s for s, err in bench.ends["o_unit__0"]] + [s for s, err in bench.ends["o_unit__1"]]
    assert sorted(arrived) == list(range(sent["i"])), "frames from outside: each to exactly one unit"
    counts = bench.counts
    assert len(bench.ends["o"]) + counts["stale_frame"] == sent["i_unit__0"] + sent["i_unit__1"]
    assert not any(err for end in bench.ends.values() for _, err in end)
    assert counts["owner_change"] > 3 and counts["stale_frame"] and not counts["cut_in"] + counts["cut_out"] + counts["dead_frame"]


@cocotb.test()
async def every_frame_goes_to_one_owner_whole(dut):
    await _switching(dut, 0, 0)


@cocotb.test()
async def every_frame_goes_to_one_owner_whole_with_gaps(dut):
    await _switching(dut, 0.3, 0.4)


@cocotb.test()
async def unit_killed_in_mid_frame_does_not_block(dut):
    bench = await Bench.start(dut)
    bench.send("i_unit__0", 1, 9, stop=4)       # dies after four words
    await ClockCycles(dut.clk, 20)
    dut.dead.value = 1
    dut.active.value = 3
    dut.epoch.value = 2 << 16 | 1
    await ClockCycles(dut.clk, 20)
    bench.send("i_unit__1", 2, 5)
    bench.send("i", 3, 5)
    await bench.drain()
    assert bench.ends["o"] == [(1, 1), (2, 0)] and bench.ends["o_unit__1"] == [(3, 0)] and int(dut.owner.value) == 1
    assert bench.counts["cut_out"] == 1


@cocotb.test()
async def frames_to_a_dead_unit_are_counted_without_another_owner(dut):
    bench = await Bench.start(dut)
    dut.dead.value = 1
    dut.active.value = 0
    await ClockCycles(dut.clk, 3)
    for serial in range(3):
        bench.send("i", serial, 4)
    await bench.drain()
    assert bench.counts["dead_frame"] == 3 and not bench.ends["o_unit__0"] and not bench.ends["o_unit__1"]


@cocotb.test()
async def frozen_former_owner_is_given_up(dut):
    bench = await Bench.start(dut)
    bench.sinks["o_unit__0"].pause = 1.0        # takes nothing
    bench.send("i_unit__0", 1, 9, stop=4)       # and stops sending
    bench.send("i", 2, 9)
    await ClockCycles(dut.clk, 20)
    dut.active.value = 2
    await ClockCycles(dut.clk, 200)
    bench.send("i_unit__1", 3, 5)
    bench.send("i", 4, 5)
    await bench.drain()
    assert bench.ends["o"] == [(1, 1), (3, 0)] and bench.ends["o_unit__1"] == [(4, 0)]
    # thawed: the rest of its frame is not let through, and the frame it was receiving ends with err
    bench.sinks["o_unit__0"].pause = 0.0
    for k in range(5):
        bench.sources["i_unit__0"].send({"data": 1 << 8 | 9, "last": int(k == 4)})
    await bench.drain()
    assert bench.ends["o"] == [(1, 1), (3, 0)] and bench.ends["o_unit__0"] == [(2, 1)]
    assert bench.counts["cut_out"] == bench.counts["cut_in"] == 1


@cocotb.test()
async def detector_redirects_by_force(dut):
    bench = await Bench.start(dut)
    dut.force.value = 2
    await ClockCycles(dut.clk, 3)
    assert int(dut.owner.value) == 1 and bench.counts["owner_change"] == 1
