"""Streams and model around the scratchpad."""
import os
import random
from collections import deque

from cocotb.triggers import RisingEdge

from spps.layouts.packet import packet_layout
from spps.layouts.scratchpad import ScratchPage, ScratchRead
from spps.scratchpad import Scratchpad
from spps_sim.model.scratchpad import Scratchpad as Model
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.packet import PacketCollector, packet_words
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, reset, start_clock
from spps_sim.testbench.runner import default_seed

WIDTH = int(os.environ["SPPS_P_WIDTH"])
PAGES, PAGE_BYTES = int(os.environ["SPPS_P_PAGES"]), int(os.environ["SPPS_P_PAGE_BYTES"])
SIZE = WIDTH // 8


class Env:
    """Payloads, reads and frees in; every answer goes into the model, whose references are those of the RTL.

    idle, pause: probability of a gap before a transfer at inputs and outputs. answers: (ok, payload, err) in order;
    reads: (bytes, err) in order; on_answer(ref, payload) is called for each payload that was stored.
    """

    def __init__(self, dut, idle=0.0, pause=0.0):
        self.dut, self.rng = dut, random.Random(default_seed())
        layout = packet_layout(WIDTH)

        def options(kind):
            return {kind: idle if kind == "idle" else pause, "rng": random.Random(self.rng.random())}

        self.i = StreamSource(dut, "i", dut.clk, **options("idle"))
        self.read = StreamSource(dut, "i_read", dut.clk, layout=ScratchRead, **options("idle"))
        self.free = StreamSource(dut, "i_free", dut.clk, **options("idle"))
        self.page = StreamSink(dut, "o_page", dut.clk, layout=ScratchPage, callback=self._answer, **options("pause"))
        collector = PacketCollector(WIDTH, lambda port, octets, err: self.reads.append((octets, err)))
        self.data = StreamSink(dut, "o_data", dut.clk, layout=layout, callback=collector, **options("pause"))
        self.model = Model(PAGES, PAGE_BYTES)
        self.sent, self.answers, self.reads = deque(), [], []
        self.on_answer = lambda ref, octets: None

    @classmethod
    async def start(cls, dut, idle=0.0, pause=0.0):
        """An Env around a block out of reset."""
        start_clock(dut)
        env = cls(dut, idle, pause)
        await reset(dut)
        env.count = CounterMonitor(dut, dut.clk, Scratchpad.COUNTERS).total
        dut._log.info("seed %d", default_seed())
        return env

    def size(self, largest):
        """A random payload size at or beside a border, or any size up to `largest` bytes."""
        borders = (1, SIZE, SIZE + 1, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 2 * PAGE_BYTES)
        return min(largest, self.rng.choice((*borders, self.rng.randint(1, largest))))

    def send(self, octets, err=False):
        """Queue one payload."""
        self.sent.append((octets, err))
        for word in packet_words(octets, WIDTH, err=err, fill=0xA5):
            self.i.send(word)

    def _answer(self, page):
        octets, err = self.sent.popleft()
        if page["ok"]:
            assert not err and page["length"] == len(octets)
            self.model.store(page["ref"], octets)
            self.on_answer(page["ref"], octets)
        self.answers.append((page["ok"], octets, err))

    async def until(self, condition, clocks=20000):
        """Wait for a condition; fails after `clocks`."""
        edge = RisingEdge(self.dut.clk)
        for _ in range(clocks):
            if condition():
                return
            await edge
        raise AssertionError("scratchpad hangs")

    async def settle(self):
        """Wait until all that was queued is taken and done."""
        await self.until(lambda: self.i.empty() and self.read.empty() and self.free.empty() and not self.sent)
        for _ in range(40):
            await RisingEdge(self.dut.clk)
