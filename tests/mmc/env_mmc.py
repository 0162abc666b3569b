"""An MMC beside the model of its registers."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps.layouts.dma import FlowstateWord
from spps.layouts.register import InstructionWrite, RegisterRequest
from spps_sim.model.mmc import Registers
from spps_sim.testbench.bus.stream import (
    StreamSink,
    StreamSource,
    reset,
    start_clock,
)
from tests.mmc.registers_under_test import BLOCKS, build

SEED = int(os.environ["SPPS_SEED"])


class Env:
    """Requests and answers of the MMC; `model` is what a host reads, `places` the flowstate words asked for."""

    def __init__(self, dut, idle, pause):
        self.dut, self.rng = dut, random.Random(SEED)
        dut._log.info("seed %d", SEED)
        self.map = build()
        self.names = self.map.addresses()
        table = {a: (r.access, r.width, r.reset if r.access in ("rw", "const") else 0)
                 for a, r in self.map.by_address.items()}
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
        """Answer each place with a word made of it, some clocks later."""
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
        """Start after a reset. idle, pause: share of clocks without valid, without ready."""
        start_clock(dut)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        env = cls(dut, idle, pause)
        await reset(dut)
        return env

    def pin(self, register):
        """The input of a status register."""
        return getattr(self.dut, register.name if register.member is None else "__".join(register.member))

    async def drain(self):
        """Wait until every request is taken and answered."""
        while not self.source.empty() or len(self.answers) < len(self.expected):
            await RisingEdge(self.dut.clk)
        await ClockCycles(self.dut.clk, 300)

    async def write(self, address, value):
        """Write a register of the MMC and of the model."""
        self.source.send({"address": address, "data": value, "write": 1})
        await self.drain()
        self.model.write(address, value)

    async def read(self, address):
        """Read a register and compare it with the model; returns the value."""
        self.source.send({"address": address, "data": 0, "write": 0})
        self.expected.append(self.model.read(address))
        await self.drain()
        assert self.answers[-1] == self.expected[-1], (
            f"{address:#x}: {self.answers[-1]:#x}, model {self.expected[-1]:#x}")
        return self.answers[-1]
