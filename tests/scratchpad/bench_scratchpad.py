"""cocotb bench of the scratchpad against its model."""
import os
import random
from collections import Counter, deque

import cocotb
from cocotb.triggers import RisingEdge
from spps.layouts.packet import packet_layout
from spps.layouts.scratchpad import ScratchPage, ScratchRead
from spps.scratchpad import Scratchpad
from spps_sim.model.scratchpad import Scratchpad as Model
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.stream import StreamSink, StreamSource, reset, start_clock

WIDTH = int(os.environ["SPPS_P_WIDTH"])
PAGES, PAGE_BYTES = int(os.environ["SPPS_P_PAGES"]), int(os.environ["SPPS_P_PAGE_BYTES"])
SEED = int(os.environ["SPPS_SEED"])
SIZE = WIDTH // 8


class Bench:
    def __init__(self, dut, idle, pause):
        self.dut, self.rng = dut, random.Random(SEED)
        layout = packet_layout(WIDTH)

        def options(kind):
            return {kind: idle if kind == "idle" else pause, "rng": random.Random(self.rng.random())}

        self.i = StreamSource(dut, "i", dut.clk, layout=layout, **options("idle"))
        self.read = StreamSource(dut, "i_read", dut.clk, layout=ScratchRead, **options("idle"))
        self.free = StreamSource(dut, "i_free", dut.clk, **options("idle"))
        self.page = StreamSink(dut, "o_page", dut.clk, layout=ScratchPage, callback=self._answer, **options("pause"))
        self.data = StreamSink(dut, "o_data", dut.clk, layout=layout, callback=self._word, **options("pause"))
        self.model = Model(PAGES, PAGE_BYTES)
        self.sent, self.answers, self.reads = deque(), [], []
        self.octets, self.err = b"", 0
        self.on_answer = lambda ref, octets: None

    def send(self, octets, err=False):
        self.sent.append((octets, err))
        for at in range(0, len(octets), SIZE):
            chunk = octets[at:at + SIZE]
            last = at + SIZE >= len(octets)
            self.i.send({"data": int.from_bytes(chunk.ljust(SIZE, b"\xa5"), "big"), "last": last, "empty": SIZE - len(chunk),
                         "err": err and last, "port": 0})

    def _answer(self, page):
        octets, err = self.sent.popleft()
        if page["ok"]:
            assert not err and page["length"] == len(octets)
            self.model.store(page["ref"], octets)
            self.on_answer(page["ref"], octets)
        self.answers.append((page["ok"], octets, err))

    def _word(self, word):
        octets = word["data"].to_bytes(SIZE, "big")
        self.octets += octets[:SIZE - word["empty"]] if word["last"] else octets
        if word["last"]:
            self.reads.append((self.octets, bool(word["err"])))
            self.octets = b""

    async def until(self, condition, clocks=20000):
        edge = RisingEdge(self.dut.clk)
        for _ in range(clocks):
            if condition():
                return
            await edge
        raise AssertionError("scratchpad hangs")

    async def settle(self):
        await self.until(lambda: self.i.empty() and self.read.empty() and self.free.empty() and not self.sent)
        for _ in range(40):
            await RisingEdge(self.dut.clk)


async def start(dut, idle=0.0, pause=0.0):
    start_clock(dut)
    bench = Bench(dut, idle, pause)
    await reset(dut)
    bench.count = CounterMonitor(dut, dut.clk, Scratchpad.COUNTERS).total
    dut._log.info("seed %d", SEED)
    return bench


def some_size(rng, largest):
    return min(largest, rng.choice((1, SIZE, SIZE + 1, PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 2 * PAGE_BYTES, rng.randint(1, largest))))


async def lives(dut, idle, pause, packets=250):
    """Store, read, free at once; at the end every page is free again."""
    bench = await start(dut, idle, pause)
    rng, expected = bench.rng, []
    doomed = deque()
    asked = deque()

    def stored(ref, octets):
        asked.append((ref, octets))

    bench.on_answer = stored
    for _ in range(packets):
        bench.send(rng.randbytes(some_size(rng, PAGES * PAGE_BYTES // 2)), rng.random() < 0.1)
    edge = RisingEdge(dut.clk)
    quiet = 0
    while quiet < 300:
        await edge
        quiet += 1
        if asked and rng.random() < 0.3 and bench.read.empty():
            quiet = 0
            ref, octets = asked.popleft()
            skip = rng.randrange(len(octets))
            length = rng.randint(0, len(octets) - skip + 3) if rng.random() < 0.2 else rng.randint(1, len(octets) - skip)
            expected.append(bench.model.read(ref, skip, length))
            bench.read.send({"ref": ref, "skip": skip, "length": length})
            doomed.append((len(expected), ref))
        if doomed and len(bench.reads) >= doomed[0][0] and rng.random() < 0.05:
            quiet = 0
            _, ref = doomed.popleft()
            # the model frees first, the RTL later: a reference that comes back too early is a double allocation the model cannot see,
            # hence the conservation check at the end
            bench.model.free(ref)
            bench.free.send(ref)
            if rng.random() < 0.05:
                bench.model.free(PAGES + 5)
                bench.free.send(PAGES + 5)
        if not bench.i.empty():
            quiet = 0
    await bench.settle()
    assert len(bench.reads) == len(expected)
    for (octets, err), wanted in zip(bench.reads, expected):
        assert err if wanted is None else not err and octets == wanted
    assert not bench.model.chains and int(dut.free_pages.value) == PAGES, "pages leaked"
    assert sum(bench.count[name] for name in ("packets", "full", "error")) == packets == len(bench.answers)
    assert bench.count["packets"] == sum(ok for ok, _, _ in bench.answers)
    for name in ("bad_read", "bad_free", "packets"):
        assert bench.count[name] == bench.model.count[name], name
    dut._log.info("%s", dict(bench.count))


@cocotb.test()
async def stores_reads_and_frees_at_full_speed(dut):
    await lives(dut, 0.0, 0.0)


@cocotb.test()
async def stores_reads_and_frees_with_gaps_and_backpressure(dut):
    await lives(dut, 0.3, 0.4)


@cocotb.test()
async def says_full_exactly_when_pages_run_out(dut):
    bench = await start(dut)
    rng = bench.rng
    expected = Counter()
    for _ in range(400):
        octets, err = rng.randbytes(some_size(rng, PAGES * PAGE_BYTES)), rng.random() < 0.1
        verdict = bench.model.verdict(octets, err)
        expected[verdict] += 1
        free = bench.model.free_pages
        bench.send(octets, err)
        await bench.until(lambda: not bench.sent)
        assert bench.answers[-1][0] == (verdict == "packets"), f"{verdict}: {len(octets)} bytes, {free} pages free"
        while bench.model.chains and rng.random() < 0.4:
            ref = rng.choice(list(bench.model.chains))
            bench.model.free(ref)
            bench.free.send(ref)
        await bench.settle()
        assert int(dut.free_pages.value) == bench.model.free_pages
    assert expected["full"] > 20 and expected["error"] > 5
    assert all(bench.count[name] == expected[name] for name in ("packets", "full", "error"))


@cocotb.test()
async def second_free_of_a_chain_is_ignored(dut):
    bench = await start(dut)
    bench.send(bench.rng.randbytes(3 * PAGE_BYTES))
    await bench.until(lambda: bench.model.chains)
    ref = next(iter(bench.model.chains))
    for _ in range(2):
        bench.free.send(ref)
    await bench.settle()
    assert int(dut.free_pages.value) == PAGES and bench.count["bad_free"] == 1
