"""cocotb bench of the SPI-4 source: its words go through the model's receiver."""
import os
import random
from collections import defaultdict, deque

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge
from spps.layouts.packet import packet_layout
from spps.params import TINY
from spps_sim.model.spi4 import Receiver
from spps_sim.testbench.bus.spi4 import Spi4Monitor
from spps_sim.testbench.bus.stream import StreamSource, reset, start_clock

WIDTH = int(os.environ["SPPS_P_WIDTH"])
SEED = int(os.environ["SPPS_SEED"])
SIZE = WIDTH // 8
REACTION = 6        # clocks from status to the first control word of a burst, at most


async def run(dut, *, idle, busy, blocks, packets=120):
    rng = random.Random(SEED)
    start_clock(dut)
    dut.burst_blocks.value = blocks
    dut.status.value = 0
    model = Receiver(TINY.ports, TINY.max_frame)
    history = deque([0] * REACTION, maxlen=REACTION)
    started = []

    def word(item):
        value, control = item
        if control and value >> 15:
            port = value >> 4 & 0xFF
            started.append(port)
            assert any(status >> 2 * port & 3 != 2 for status in history), f"burst for satisfied port {port}"
        model.put(value, control)

    Spi4Monitor(dut, "o", dut.clk, width=WIDTH, callback=word)
    source = StreamSource(dut, "i", dut.clk, layout=packet_layout(WIDTH), idle=idle, rng=random.Random(rng.random()))
    await reset(dut)
    dut._log.info("seed %d", SEED)

    async def statuses():
        edge = RisingEdge(dut.clk)
        while True:
            if rng.random() < 0.02:
                dut.status.value = sum((2 if rng.random() < busy else rng.randrange(2)) << 2 * n for n in range(TINY.ports))
            await ReadOnly()
            history.append(int(dut.status.value))
            assert int(dut.o__valid.value), "the link pauses"
            await edge

    cocotb.start_soon(statuses())
    expected = defaultdict(list)
    for _ in range(packets):
        octets = rng.randbytes(rng.choice((1, 2, 3, 15, 16, 17, 60, 64, rng.randrange(1, 300), TINY.max_frame)))
        port, err = rng.randrange(TINY.ports), rng.random() < 0.1
        expected[port].append((octets, err))
        for at in range(0, len(octets), SIZE):
            chunk = octets[at:at + SIZE]
            last = at + SIZE >= len(octets)
            source.send({"data": int.from_bytes(chunk.ljust(SIZE, b"\xa5"), "big"), "port": port, "last": last,
                         "empty": SIZE - len(chunk), "err": err and last})
    edge, quiet = RisingEdge(dut.clk), 0
    while quiet < 2000:
        before = source.sent, len(started)
        await edge
        quiet = 0 if before != (source.sent, len(started)) else quiet + 1
    assert source.empty(), "source hangs"
    for port in range(TINY.ports):
        got = model.packets[port]
        assert [err for _, err in got] == [err for _, err in expected[port]]
        for (a, err), (b, _) in zip(got, expected[port]):
            assert err or a == b
    assert set(+model.count) <= {"packets", "abort"}, +model.count
    limit = 16 * min(16, max(1, blocks))
    assert max(model.burst_octets) <= limit and (blocks > 16 or limit in model.burst_octets)


@cocotb.test()
async def sends_largest_bursts(dut):
    await run(dut, idle=0.0, busy=0.0, blocks=16)


@cocotb.test()
async def sends_smallest_bursts_with_gaps(dut):
    await run(dut, idle=0.4, busy=0.0, blocks=0, packets=60)


@cocotb.test()
async def waits_for_satisfied_ports(dut):
    await run(dut, idle=0.2, busy=0.6, blocks=4, packets=60)
