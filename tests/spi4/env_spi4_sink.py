"""Link, model and monitor around the SPI-4 sink."""
import os
import random
from collections import defaultdict

from cocotb.triggers import ReadOnly, RisingEdge

from spps.layouts.packet import packet_layout
from spps.params import TINY
from spps.spi4 import Spi4Sink
from spps_sim.model.spi4 import Receiver
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.packet import PacketCollector
from spps_sim.testbench.bus.spi4 import Spi4Driver, Spi4Monitor
from spps_sim.testbench.bus.stream import StreamSink, reset, start_clock
from spps_sim.testbench.runner import default_seed

WIDTH = int(os.environ["SPPS_P_WIDTH"])
PORTS, MAX_FRAME = TINY.ports, TINY.max_frame


class Env:
    """Bursts in, packets out; the model receives the same words.

    gaps: probability of a clock without words. pause: of a clock without ready at `o`.
    obey: the source looks at status.
    packets[port]: (bytes, err) in order; statuses: values that status has had, per port.
    """

    def __init__(self, dut, *, gaps=0.0, pause=0.0, obey=True):
        self.dut, self.rng = dut, random.Random(default_seed())
        self.model = Receiver(PORTS, MAX_FRAME)
        self.active = False
        self.driver = Spi4Driver(dut, "i", dut.clk, width=WIDTH, gaps=gaps, rng=random.Random(self.rng.random()),
                                 satisfied=lambda port: obey and port < PORTS and self.status(port) == 2)
        self.monitor = Spi4Monitor(dut, "i", dut.clk, width=WIDTH, callback=self._word)
        self.o = StreamSink(dut, "o", dut.clk, layout=packet_layout(WIDTH), pause=pause,
                            rng=random.Random(self.rng.random()), callback=self._take)
        self.packets, self.words = defaultdict(list), 0
        self.collector = PacketCollector(WIDTH, lambda port, octets, err: self.packets[port].append((octets, err)))
        self.statuses = [set() for _ in range(PORTS)]

    @classmethod
    async def start(cls, dut, **options):
        """An Env around a block out of reset."""
        start_clock(dut)
        env = cls(dut, **options)
        await reset(dut)
        env.active = True
        env.count = CounterMonitor(dut, dut.clk, Spi4Sink.COUNTERS).total
        return env

    def group(self):
        """(word, control flag) of each lane of the link now."""
        value = int(self.dut.i__payload.value)
        return [(value >> 16 * n & 0xFFFF, value >> WIDTH + n & 1) for n in range(WIDTH // 16)]

    def status(self, port):
        """FIFO status of a port now."""
        return int(self.dut.status.value) >> 2 * port & 3

    def _word(self, word):
        if self.active:
            self.model.put(*word)

    def _take(self, word):
        if self.active:
            self.words += 1
            self.collector(word)

    async def finish(self):
        """Wait until nothing moves any more."""
        edge, quiet = RisingEdge(self.dut.clk), 0
        while quiet < 1500:
            before = self.words, len(self.driver.transmitter.queue)
            await edge
            await ReadOnly()
            for port, seen in enumerate(self.statuses):
                seen.add(self.status(port))
            quiet = 0 if before != (self.words, len(self.driver.transmitter.queue)) else quiet + 1
        assert self.driver.empty() and not self.collector.data, "sink hangs"
        assert not int(self.dut.status.value), "an empty sink is not starving"

    def check(self):
        """Packets and counters are those of the model."""
        for port in range(PORTS):
            expected, got = self.model.packets[port], self.packets[port]
            assert [err for _, err in got] == [err for _, err in expected], \
                f"port {port}: {len(got)} for {len(expected)} packets"
            for (a, err), (b, _) in zip(got, expected):
                assert err or a == b, f"port {port}: {a.hex()} for {b.hex()}"
        for counter in (self.count, self.model.count):      # the RTL counts groups with a violation
            counter["sop_spacing"] = min(1, counter["sop_spacing"])
        assert +self.count == +self.model.count, f"{+self.count} for {+self.model.count}"
