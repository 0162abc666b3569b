"""Packets, status and the model's receiver around the SPI-4 source."""
import os
import random
from collections import Counter, defaultdict, deque

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge

from spps.params import TINY
from spps.spi4 import Spi4Source
from spps_sim.model.spi4 import Receiver
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.packet import packet_words
from spps_sim.testbench.bus.spi4 import Spi4Monitor
from spps_sim.testbench.bus.stream import StreamSource, reset, start_clock
from spps_sim.testbench.runner import default_seed

WIDTH = int(os.environ["SPPS_P_WIDTH"])
PORTS, MAX_FRAME = TINY.ports, TINY.max_frame
REACTION = 6        # clocks from status to the first control word of a burst, at most


class Env:
    """Packets in; the words at `o` go into the model. A burst for a port that has been satisfied for a while fails.

    idle: probability of a gap before a word at `i`. busy: probability that a port is satisfied when status changes.
    started: port of each burst; expected[port]: (bytes, err) in order.
    """

    def __init__(self, dut, *, idle=0.0, busy=0.0, blocks=16):
        self.dut, self.busy, self.rng = dut, busy, random.Random(default_seed())
        dut.burst_blocks.value = blocks
        dut.status.value = 0
        self.model = Receiver(PORTS, MAX_FRAME)
        self.history = deque([0] * REACTION, maxlen=REACTION)
        self.started, self.expected = [], defaultdict(list)
        self.monitor = Spi4Monitor(dut, "o", dut.clk, width=WIDTH, callback=self._word)
        self.source = StreamSource(dut, "i", dut.clk, idle=idle, rng=random.Random(self.rng.random()))

    @classmethod
    async def start(cls, dut, **options):
        """An Env around a block out of reset."""
        start_clock(dut)
        env = cls(dut, **options)
        await reset(dut)
        env.count = CounterMonitor(dut, dut.clk, Spi4Source.COUNTERS).total
        cocotb.start_soon(env._statuses())
        dut._log.info("seed %d", default_seed())
        return env

    def _word(self, item):
        value, control = item
        if control and value >> 15:
            port = value >> 4 & 0xFF
            self.started.append(port)
            assert any(status >> 2 * port & 3 != 2 for status in self.history), f"burst for satisfied port {port}"
        self.model.put(value, control)

    async def _statuses(self):
        edge = RisingEdge(self.dut.clk)
        while True:
            if self.busy and self.rng.random() < 0.02:
                self.dut.status.value = sum(
                    (2 if self.rng.random() < self.busy else self.rng.randrange(2)) << 2 * n for n in range(PORTS))
            await ReadOnly()
            self.history.append(int(self.dut.status.value))
            assert int(self.dut.o__valid.value), "the link pauses"
            await edge

    def group(self):
        """(word, control flag) of each lane of the link now."""
        value = int(self.dut.o__payload.value)
        return [(value >> 16 * n & 0xFFFF, value >> WIDTH + n & 1) for n in range(WIDTH // 16)]

    def send(self, octets, port, err=False):
        """Queue one packet."""
        self.expected[port].append((octets, err))
        for word in packet_words(octets, WIDTH, port=port, err=err, fill=0xA5):
            self.source.send(word)

    async def finish(self):
        """Wait until nothing moves any more."""
        edge, quiet = RisingEdge(self.dut.clk), 0
        while quiet < 2000:
            before = self.source.sent, len(self.started)
            await edge
            quiet = 0 if before != (self.source.sent, len(self.started)) else quiet + 1
        assert self.source.empty(), "source hangs"

    def check(self):
        """The words decode to the packets; counters add up; no finding but the aborts."""
        for port in range(PORTS):
            got = self.model.packets[port]
            assert [err for _, err in got] == [err for _, err in self.expected[port]]
            for (a, err), (b, _) in zip(got, self.expected[port]):
                assert err or a == b
        sent = [err for packets in self.expected.values() for _, err in packets]
        assert self.count == {"packets": len(sent), "aborted": sum(sent)}, self.count
        assert +self.model.count == +Counter(packets=len(sent), abort=sum(sent)), self.model.count
