"""cocotb bench of the SPI-4 sink against the model of the standard."""
import os
import random
from collections import defaultdict

import cocotb
from cocotb.triggers import RisingEdge
from spps.layouts.packet import packet_layout
from spps.params import TINY
from spps.spi4 import Spi4Sink
from spps_sim.model.spi4 import Burst, Receiver, bursts_of
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.spi4 import Spi4Driver, Spi4Monitor
from spps_sim.testbench.bus.stream import StreamSink, start_clock

WIDTH = int(os.environ["SPPS_P_WIDTH"])
SEED = int(os.environ["SPPS_SEED"])
SIZE = WIDTH // 8
PORTS, MAX_FRAME = TINY.ports, TINY.max_frame


class Bench:
    def __init__(self, dut, *, gaps=0.0, pause=0.0, obey=True):
        self.dut, self.rng = dut, random.Random(SEED)
        self.model = Receiver(PORTS, MAX_FRAME)
        self.active = False
        self.driver = Spi4Driver(dut, "i", dut.clk, width=WIDTH, gaps=gaps, rng=random.Random(self.rng.random()),
                                 satisfied=lambda port: obey and port < PORTS and int(dut.status.value) >> 2 * port & 3 == 2)
        self.monitor = Spi4Monitor(dut, "i", dut.clk, width=WIDTH, callback=self._word)
        self.o = StreamSink(dut, "o", dut.clk, layout=packet_layout(WIDTH), pause=pause, rng=random.Random(self.rng.random()),
                            callback=self._take)
        self.octets, self.packets, self.port = b"", defaultdict(list), None
        self.words = 0

    def _word(self, word):
        if self.active:
            self.model.put(*word)

    def _take(self, word):
        if not self.active:
            return
        self.words += 1
        assert self.port in (None, word["port"]), "port changes inside a packet"
        octets = word["data"].to_bytes(SIZE, "big")
        self.octets += octets[:SIZE - word["empty"]] if word["last"] else octets
        self.port = word["port"]
        if word["last"]:
            self.packets[self.port].append((self.octets, bool(word["err"])))
            self.octets, self.port = b"", None

    async def start(self):
        start_clock(self.dut)
        self.dut.rst.value = 1
        edge = RisingEdge(self.dut.clk)
        for _ in range(4):
            await edge
        self.dut.rst.value = 0
        self.active = True
        self.count = CounterMonitor(self.dut, self.dut.clk, Spi4Sink.COUNTERS).total

    async def finish(self):
        edge, quiet = RisingEdge(self.dut.clk), 0
        while quiet < 1500:
            before = self.words, len(self.driver.transmitter.queue)
            await edge
            quiet = 0 if before != (self.words, len(self.driver.transmitter.queue)) else quiet + 1
        assert self.driver.empty() and not self.octets, "sink hangs"

    def check(self):
        for port in range(PORTS):
            expected, got = self.model.packets[port], self.packets[port]
            assert [err for _, err in got] == [err for _, err in expected], f"port {port}: {len(got)} for {len(expected)} packets"
            for (a, err), (b, _) in zip(got, expected):
                assert err or a == b, f"port {port}: {a.hex()} for {b.hex()}"
        for counter in (self.count, self.model.count):      # the RTL counts groups with a violation
            counter["sop_spacing"] = min(1, counter["sop_spacing"])
        assert +self.count == +self.model.count, f"{+self.count} for {+self.model.count}"


def interleaved(rng, packets, *, sizes=(16, 32, 64, 256), abort=0.05):
    """Bursts of random packets, ports interleaved."""
    waiting = [[] for _ in range(PORTS)]
    for _ in range(packets):
        octets = rng.randbytes(rng.choice((1, 2, 15, 16, 17, 60, 64, rng.randrange(1, 300), MAX_FRAME)))
        port = rng.randrange(PORTS)
        waiting[port] += bursts_of(octets, port, rng.choice(sizes), abort=rng.random() < abort)
    while any(waiting):
        yield rng.choice([w for w in waiting if w]).pop(0)


def damaged(rng, burst):
    """The burst with one fault, or the burst and something beside it."""
    fault = rng.randrange(12)
    if fault == 0:
        burst.flip = 1 << rng.randrange(16)
    elif fault == 1:
        burst.data_flip = rng.randrange(-(-len(burst.octets) // 2)), 1 << rng.randrange(16)
    elif fault == 2:
        return []
    elif fault == 3:
        return [burst, Burst(0, rng.randbytes(16), control=rng.choice((0x1000, 0x3000, 0x5000, 0x7000)))]
    elif fault == 4:
        return [Burst(0, rng.randbytes(32), control=0), burst]
    elif fault == 5:
        burst.octets = burst.octets[:-2] or burst.octets
    elif fault == 6:
        burst.port = rng.randrange(PORTS, 200)
    elif fault == 7:
        burst.sop = not burst.sop
        burst.crowd = True
    elif fault == 8:
        burst.octets = b""
    elif fault == 9:
        burst.octets = rng.randbytes(MAX_FRAME + rng.choice((1, 2, 16, 400)))
    elif fault == 10:
        return [Burst(0, b"", control=0x4000 if rng.random() < 0.5 else 0x0FF0), burst]
    else:
        return [burst, burst]
    return [burst]


@cocotb.test()
async def reassembles_interleaved_bursts(dut):
    bench = Bench(dut)
    await bench.start()
    for burst in interleaved(bench.rng, 150):
        bench.driver.send_burst(burst)
    await bench.finish()
    bench.check()
    assert set(+bench.count) <= {"packets", "abort"} and bench.count["packets"] == 150


@cocotb.test()
async def loses_nothing_with_gaps_and_backpressure(dut):
    bench = Bench(dut, gaps=0.2, pause=0.7)
    await bench.start()
    for burst in interleaved(bench.rng, 150):
        bench.driver.send_burst(burst)
    await bench.finish()
    bench.check()
    assert set(+bench.count) <= {"packets", "abort"} and bench.count["packets"] == 150


@cocotb.test()
async def smallest_bursts_never_overflow(dut):
    bench = Bench(dut, pause=0.5)
    await bench.start()
    for burst in interleaved(bench.rng, 100, sizes=(16,)):
        bench.driver.send_burst(burst)
    await bench.finish()
    bench.check()
    assert bench.count["packets"] == 100


@cocotb.test()
async def judges_damaged_bursts_as_the_model(dut):
    bench = Bench(dut, gaps=0.05, pause=0.1)
    await bench.start()
    bench.driver.send_burst(Burst(0, b"", control=0x4000))      # end of packet on an idle link
    for burst in interleaved(bench.rng, 500):
        for sent in damaged(bench.rng, burst) if bench.rng.random() < 0.15 else [burst]:
            bench.driver.send_burst(sent)
    await bench.finish()
    dut._log.info("seed %d: %s", SEED, dict(bench.count))
    missing = set(Spi4Sink.COUNTERS) - set(+bench.count) - {"overflow", "input_overflow"}
    assert not missing, f"never hit: {missing}"
    bench.check()


@cocotb.test()
async def counts_packets_that_overflow(dut):
    bench = Bench(dut, gaps=0.3, pause=0.97, obey=False)
    await bench.start()
    for _ in range(40):
        for burst in bursts_of(bench.rng.randbytes(600), 1, 64):
            bench.driver.send_burst(burst)
    await bench.finish()
    assert not bench.count["input_overflow"]
    assert bench.count["overflow"] and bench.count["overflow"] + bench.count["packets"] == 40
    assert len(bench.packets[1]) == bench.count["packets"] and not any(err for _, err in bench.packets[1])


@cocotb.test()
async def lost_groups_leave_no_good_packet_wrong(dut):
    bench = Bench(dut, obey=False)
    await bench.start()
    sent = [bench.rng.randbytes(bench.rng.choice((150, 600))) for _ in range(200)]
    for n, octets in enumerate(sent):
        for burst in bursts_of(octets, n % PORTS, 16):
            bench.driver.send_burst(burst)
    await bench.finish()
    assert bench.count["input_overflow"], "a source that ignores status did not overflow"
    got = [octets for packets in bench.packets.values() for octets, err in packets if not err]
    assert got and set(got) <= set(sent)
    assert sum(map(len, bench.packets.values())) == bench.count["packets"]
