"""A faulty link with numbered frames at one end and a record of what leaves at the other."""
import os
import random

from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.utils import get_sim_time

from spps.failover import FaultyLink, LinkControl
from spps.layouts.packet import packet_layout
from spps_sim.backend.interface import SyncFaults
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, reset, start_clock

WIDTH = int(os.environ["SPPS_P_WIDTH"])
SEED = int(os.environ["SPPS_SEED"])
PERIOD = 10     # of the clock of `start_clock`, ns


class Env:
    """sent: words of each frame. got: (words, err, empty of the last word, clock) of each that left."""

    @classmethod
    async def start(cls, dut, *, idle=0.0, pause=0.0, **faults):
        """Start after a reset, with SyncFaults(**faults). idle, pause: share of clocks without valid, without ready."""
        start_clock(dut)
        dut.control.value = 0
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        env = cls(dut, idle, pause)
        env.set(**faults)
        await reset(dut)
        await ClockCycles(dut.clk, 2)
        return env

    def __init__(self, dut, idle, pause):
        self.dut, self.rng = dut, random.Random(SEED)
        self.sent, self.got, self.partial = [], [], []
        layout = packet_layout(WIDTH)
        self.source = StreamSource(dut, "i", dut.clk, layout=layout, idle=idle, rng=self.rng)
        self.sink = StreamSink(dut, "o", dut.clk, layout=layout, pause=pause, rng=self.rng, callback=self._word)
        self.counts = dict.fromkeys(FaultyLink.COUNTERS, 0)
        import cocotb
        cocotb.start_soon(self._count())

    def set(self, **faults):
        """Set what the link does."""
        self.dut.control.value = LinkControl.const(SyncFaults(**{"seed": SEED, **faults}).control()).as_value().value

    async def _count(self):
        while True:
            await RisingEdge(self.dut.clk)
            for k, name in enumerate(FaultyLink.COUNTERS):
                self.counts[name] += int(self.dut.count.value) >> k & 1

    def _word(self, word):
        self.partial.append(word["data"])
        if word["last"]:
            self.got.append((self.partial, word["err"], word["empty"], int(get_sim_time("ns")) // PERIOD))
            self.partial = []

    def send(self, words=None, *, err=0):
        """Send a frame of random words, its number in the first 16 bits."""
        count = words or self.rng.randrange(1, 256 * 8 // WIDTH + 1)
        frame = [self.rng.getrandbits(WIDTH) for _ in range(count)]
        frame[0] = frame[0] >> 16 | len(self.sent) << WIDTH - 16
        self.sent.append(frame)
        for k, data in enumerate(frame):
            last = k == count - 1
            self.source.send({"data": data, "last": int(last), "empty": int(last), "err": err * int(last)})

    async def drain(self, clocks=1000):
        """Wait until everything was taken, and `clocks` more."""
        while not self.source.empty():
            await RisingEdge(self.dut.clk)
        await ClockCycles(self.dut.clk, clocks)

    def numbers(self):
        """Return the numbers of the frames that left, in order."""
        return [words[0] >> WIDTH - 16 for words, *_ in self.got]

    def whole(self):
        """Check that each frame that left is as it was sent."""
        for words, err, empty, _ in self.got:
            assert words == self.sent[words[0] >> WIDTH - 16] and not err and empty == 1
        return len(self.got)
