"""cocotb bench of a counter; it fails on purpose when SPPS_P_BREAK says so."""
import os

import cocotb
from cocotb.triggers import ClockCycles

from spps_sim.testbench.bus.stream import reset, start_clock


@cocotb.test()
async def counts_the_clocks(dut):
    start_clock(dut)
    await reset(dut)
    before = int(dut.count.value)
    await ClockCycles(dut.clk, 20)
    assert int(dut.count.value) - before == 20 + int(os.environ["SPPS_P_BREAK"])
