"""Random register accesses and counter pulses against the model."""
import os
import random

import cocotb
from amaranth.lib import data
from cocotb.triggers import ClockCycles, ReadOnly, RisingEdge
from spps.layouts.config import CONFIG, CONFIG_DIRECT, CONFIG_INDEX, ConfigWord
from spps.layouts.dma import FlowstateWord
from spps.layouts.register import InstructionWrite, RegisterRequest
from spps_sim.model.mmc import UNKNOWN, Registers
from spps_sim.testbench.bus.stream import (
    StreamSink,
    StreamSource,
    reset,
    start_clock,
    unpack,
)

from tests.mmc.registers_under_test import BLOCKS, build

SEED = int(os.environ["SPPS_SEED"])


class Bench:
    def __init__(self, dut, idle, pause):
        self.dut, self.rng = dut, random.Random(SEED)
        dut._log.info("seed %d", SEED)
        self.map = build()
        self.names = self.map.addresses()
        table = {a: (r.access, r.width, r.reset if r.access in ("rw", "const") else 0) for a, r in self.map.by_address.items()}
        self.model = Registers(table, self.names["mmc_bad_address"])
        self.source = StreamSource(dut, "i", dut.clk, layout=RegisterRequest, idle=idle, rng=self.rng)
        self.answers = StreamSink(dut, "o", dut.clk, pause=pause, rng=self.rng).received
        self.words = StreamSink(dut, "o_imem", dut.clk, layout=InstructionWrite, pause=pause, rng=self.rng).received
        self.places = StreamSink(dut, "o_flowstate", dut.clk, layout=FlowstateWord, pause=pause, rng=self.rng).received
        self.expected = []
        dut.i_flowstate__valid.value = 0
        cocotb.start_soon(self._flowstate_memory())
        for block, _ in BLOCKS:
            getattr(dut, f"count_{block}").value = 0
        for _, register in self.map.of("ro"):
            self.pin(register).value = 0

    async def _flowstate_memory(self):
        """Answers with the place it was asked for, some clocks later."""
        while True:
            await RisingEdge(self.dut.clk)
            while self.places:
                place = self.places.popleft()
                await ClockCycles(self.dut.clk, 1 + self.rng.randrange(3))
                self.dut.i_flowstate__payload.value = 0xF10E5000 + (place["conn"] << 7 | place["word"])
                self.dut.i_flowstate__valid.value = 1
                await RisingEdge(self.dut.clk)
                self.dut.i_flowstate__valid.value = 0

    @classmethod
    async def start(cls, dut, idle=0.0, pause=0.0):
        start_clock(dut)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        bench = cls(dut, idle, pause)
        await reset(dut)
        return bench

    def pin(self, register):
        """The input of a status register."""
        return getattr(self.dut, register.name if register.member is None else "__".join(register.member))

    async def drain(self):
        while not self.source.empty() or len(self.answers) < len(self.expected):
            await RisingEdge(self.dut.clk)
        await ClockCycles(self.dut.clk, 300)

    async def write(self, address, value):
        self.source.send({"address": address, "data": value, "write": 1})
        await self.drain()
        self.model.write(address, value)

    async def read(self, address):
        self.source.send({"address": address, "data": 0, "write": 0})
        self.expected.append(self.model.read(address))
        await self.drain()
        assert self.answers[-1] == self.expected[-1], f"{address:#x}: {self.answers[-1]:#x}, model {self.expected[-1]:#x}"
        return self.answers[-1]


async def _random(dut, idle, pause):
    bench = await Bench.start(dut, idle, pause)
    rng, model = bench.rng, bench.model
    special = {bench.names[n] for n in ("imem_low", "imem_address", "imem_high", "role_load", "flowstate_address", "flowstate_data")}
    addresses = [a for a in model.table if a not in special] + [0x0FC, 0x3FC, 0x5001, 0xFFFC, 0x402]
    for _, register in bench.map.of("ro"):
        model.status[bench.names[register.name]] = value = rng.getrandbits(register.width)
        bench.pin(register).value = value
    for _ in range(150):
        if rng.random() < 0.3:      # a burst of pulses on everything, every clock, longer than a sweep
            for _ in range(rng.randrange(1, 200)):
                for block, names in BLOCKS:
                    bits = rng.getrandbits(len(names)) | 1
                    getattr(dut, f"count_{block}").value = bits
                    for k, name in enumerate(names):
                        model.counts[bench.names[f"{block}_{name}"]] += bits >> k & 1
                await RisingEdge(dut.clk)
            for block, _ in BLOCKS:
                getattr(dut, f"count_{block}").value = 0
            await ClockCycles(dut.clk, 200)
        if rng.random() < 0.5:
            await bench.write(rng.choice(addresses), rng.getrandbits(32))
        else:
            await bench.read(rng.choice(addresses))
    for address in addresses:
        await bench.read(address)


@cocotb.test()
async def random_accesses(dut):
    await _random(dut, 0, 0)


@cocotb.test()
async def random_accesses_with_gaps(dut):
    await _random(dut, 0.5, 0.5)


@cocotb.test()
async def unknown_address_reads_the_mark_and_counts(dut):
    bench = await Bench.start(dut)
    assert await bench.read(0xFFFC) == UNKNOWN
    assert await bench.read(bench.names["mmc_bad_address"]) == 1


@cocotb.test()
async def instruction_window_counts_its_address_up(dut):
    bench = await Bench.start(dut, 0.2, 0.6)
    await bench.write(bench.names["imem_address"], 0x2FFE)
    for k in range(3):
        await bench.write(bench.names["imem_high"], k)
        await bench.write(bench.names["imem_low"], 0x1000 + k)
    assert [(w["cluster"], w["address"], w["data"]) for w in bench.words] == [
        (2, 0xFFE, 0x1000), (2, 0xFFF, 1 << 32 | 0x1001), (2, 0, 2 << 32 | 0x1002)]


@cocotb.test()
async def flowstate_window_reads_word_after_word(dut):
    bench = await Bench.start(dut, 0.2, 0.6)
    await bench.write(bench.names["flowstate_address"], 5 << 7 | 126)
    for offset in range(4):
        bench.source.send({"address": bench.names["flowstate_data"], "data": 0, "write": 0})
        bench.expected.append(0xF10E5000 + (5 << 7 | 126) + offset)
        await bench.drain()
    assert list(bench.answers) == bench.expected
    bench.model.values[bench.names["flowstate_address"]] = 6 << 7 | 2       # it has counted up, over the end of a flowstate
    await bench.read(bench.names["flowstate_address"])
    await bench.write(bench.names["flowstate_data"], 1)
    assert await bench.read(bench.names["mmc_bad_address"]) == 1


@cocotb.test()
async def config_is_shown_word_by_word(dut):
    """Every word within two rounds, never another value than the old or the new one, also while the host writes and reads; a reset brings back the first."""
    bench = await Bench.start(dut)
    field = data.Layout.cast(ConfigWord)
    shown, allowed = {}, {index: {word.reset} for index, word in enumerate(CONFIG)}

    async def watch():
        while True:
            await RisingEdge(dut.clk)
            await ReadOnly()
            word = unpack(field, int(dut.cfg.value)) if not int(dut.rst.value) else {"valid": 0}
            if word["valid"]:
                assert word["value"] in allowed[word["index"]], word
                shown[word["index"]] = word["value"]

    cocotb.start_soon(watch())
    await ClockCycles(dut.clk, 200)
    current = {index: word.reset for index, word in enumerate(CONFIG)}
    for _ in range(60):
        index = bench.rng.randrange(len(CONFIG))
        value = bench.rng.getrandbits(32)
        allowed[index].add(value)
        bench.source.send({"address": bench.names[f"cfg_{CONFIG[index].name}"], "data": value, "write": 1})
        await ClockCycles(dut.clk, 10 + 2 * len(CONFIG) + bench.rng.randrange(3))
        current[index] = value
        assert shown[index] == value
        allowed[index] = {value}
    assert shown == current
    for name in CONFIG_DIRECT:
        assert int(getattr(dut, f"cfg_{name}").value) == current[CONFIG_INDEX[name]]
    allowed.update({index: {word.reset} for index, word in enumerate(CONFIG)})
    await reset(dut)
    await ClockCycles(dut.clk, 200)
    assert shown == {index: word.reset for index, word in enumerate(CONFIG)}


@cocotb.test()
async def pulse_register_lasts_one_clock(dut):
    bench = await Bench.start(dut)
    seen = 0
    bench.source.send({"address": bench.names["role_load"], "data": 1, "write": 1})
    for _ in range(300):
        await RisingEdge(dut.clk)
        seen += int(dut.failover__role_load.value)
    assert seen == 1
