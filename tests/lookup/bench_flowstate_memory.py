"""Random writes and reads; see test_lookup.py."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge

from spps.layouts.dma import FlowstateBeat, FlowstateWord, FlowstateWrite
from spps.lookup import FlowstateMemory
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, reset, start_clock
from spps_sim.testbench.runner import default_seed

CONNECTIONS = int(os.environ["SPPS_P_CONNECTIONS"])
BEATS = 64


async def run(dut, idle, pause):
    start_clock(dut)
    seed = default_seed() * 1000 + int(idle * 100) + int(pause * 10)
    rng = random.Random(seed)
    read = StreamSource(dut, "i_read", dut.clk, idle=idle, rng=random.Random(seed + 1))
    write = StreamSource(dut, "i_write", dut.clk, layout=FlowstateWrite, idle=idle, rng=random.Random(seed + 2))
    sink = StreamSink(dut, "o_data", dut.clk, layout=FlowstateBeat, pause=pause, rng=random.Random(seed + 3))
    counters = CounterMonitor(dut, dut.clk, FlowstateMemory.COUNTERS)
    window = StreamSource(dut, "i_window", dut.clk, layout=FlowstateWord, idle=idle, rng=random.Random(seed + 4))
    words, asked = [], []

    async def collect():
        while True:
            await RisingEdge(dut.clk)
            if int(dut.rst.value) == 0 and int(dut.o_window__valid.value):
                words.append(int(dut.o_window__payload.value))

    await reset(dut)
    cocotb.start_soon(collect())
    memory, bad_writes, bad_reads, expected = {}, 0, 0, []

    async def wait():
        for _ in range(100000):
            await RisingEdge(dut.clk)
            if write.empty() and read.empty() and len(sink.received) == len(expected) and len(words) == len(asked):
                return
        raise AssertionError("the memory hangs")

    for round_ in range(8):
        # reads and writes run at once, on different connections, as the director guarantees
        readers = rng.sample(range(CONNECTIONS), CONNECTIONS // 2) if round_ > 1 else []
        writers = [c for c in range(CONNECTIONS) if c not in readers]
        for conn in readers:
            expected += [memory.get((conn, beat)) for beat in range(BEATS)]
            read.send(conn)
            for word in rng.sample(range(2 * BEATS), 8):        # the host looks at the same connections meanwhile
                asked.append(memory[conn, word // 2] >> 32 * (word % 2) & 0xFFFFFFFF)
                window.send({"conn": conn, "word": word})
        if round_ == 5:
            read.send(CONNECTIONS + 3)
            window.send({"conn": CONNECTIONS + 3, "word": 5})
            asked.append(0)
            expected += [0] * BEATS
            bad_reads += 1
        for conn in writers:
            for beat in range(BEATS) if round_ < 2 else rng.sample(range(BEATS), 16):
                memory[conn, beat] = rng.getrandbits(64)
                write.send({"conn": conn, "beat": beat, "data": memory[conn, beat]})
        if round_ == 6:
            write.send({"conn": CONNECTIONS | rng.randrange(CONNECTIONS), "beat": 0, "data": 1})
            bad_writes += 1
        await wait()
    await ClockCycles(dut.clk, 5)
    assert words == asked and len(asked) > 8 * CONNECTIONS // 2
    got = list(sink.received)
    known = [i for i, value in enumerate(expected) if value is not None]
    assert [got[i]["data"] for i in known] == [expected[i] for i in known]
    assert all(beat["last"] == (i % BEATS == BEATS - 1) for i, beat in enumerate(got))
    assert dict(counters.total) == {"bad_read": bad_reads, "bad_write": bad_writes}
    dut._log.info("seed %d: %d reads", default_seed(), len(got) // BEATS)


@cocotb.test()
@cocotb.parametrize((("idle", "pause"), [(0.0, 0.0), (0.3, 0.4)]))
async def reads_back(dut, idle, pause):
    await run(dut, idle, pause)


@cocotb.test()
async def read_takes_65_clocks(dut):
    start_clock(dut)
    read = StreamSource(dut, "i_read", dut.clk)
    sink = StreamSink(dut, "o_data", dut.clk)
    write = StreamSource(dut, "i_write", dut.clk, layout=FlowstateWrite)
    StreamSource(dut, "i_window", dut.clk, layout=FlowstateWord)
    await reset(dut)
    for beat in range(BEATS):
        write.send({"conn": 0, "beat": beat, "data": beat})
    await ClockCycles(dut.clk, 2 * BEATS + 5)
    for _ in range(4):
        read.send(0)
    clocks = 0
    while len(sink.received) < 4 * BEATS:
        await RisingEdge(dut.clk)
        clocks += 1
        assert clocks <= 4 * (BEATS + 2) + 6


@cocotb.test()
async def window_words_come_between_the_beats(dut):
    """The host reads words while flowstates are read and written; no beat changes for it."""
    start_clock(dut)
    rng = random.Random(default_seed())
    read = StreamSource(dut, "i_read", dut.clk, idle=0.9, rng=random.Random(1))
    write = StreamSource(dut, "i_write", dut.clk, layout=FlowstateWrite, idle=0.5, rng=random.Random(2))
    window = StreamSource(dut, "i_window", dut.clk, layout=FlowstateWord)
    sink = StreamSink(dut, "o_data", dut.clk, layout=FlowstateBeat, pause=0.3, rng=random.Random(3))
    await reset(dut)
    value = {(conn, beat): rng.getrandbits(64) for conn in range(2) for beat in range(BEATS)}
    for (conn, beat), data in value.items():
        write.send({"conn": conn, "beat": beat, "data": data})
    while not write.empty():
        await RisingEdge(dut.clk)
    words = [(rng.randrange(2), rng.randrange(2 * BEATS)) for _ in range(40)] + [(CONNECTIONS, 1)]
    for conn, word in words:
        window.send({"conn": conn, "word": word})
    for _ in range(4):
        read.send(1)
    for beat in range(BEATS):                   # another connection, so that nothing read changes
        write.send({"conn": 2, "beat": beat, "data": 0})
    got = []
    for _ in range(20000):
        await RisingEdge(dut.clk)
        await ReadOnly()
        if int(dut.o_window__valid.value):
            got.append(int(dut.o_window__payload.value))
        if len(got) == len(words) and len(sink.received) == 4 * BEATS:
            break
    assert got == [value.get((conn, word // 2), 0) >> 32 * (word % 2) & 0xFFFFFFFF for conn, word in words]
    assert [beat["data"] for beat in sink.received] == 4 * [value[1, beat] for beat in range(BEATS)]
