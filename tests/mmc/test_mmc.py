"""MMC against its model; the register map's own rules."""

import pytest
from spps.mmc import Field, Mmc, Register, RegisterMap
from spps.mmc.counter_file import _TAPS, _positions
from spps.mmc.register_table import RegisterTable
from spps.params import TINY
from spps_sim.testbench.runner import SIMULATORS, run_bench

from tests.mmc.registers_under_test import BLOCKS, build


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_mmc(simulator):
    run_bench(Mmc(TINY, BLOCKS), "tests.mmc.bench_mmc", name="mmc", simulator=simulator)


@pytest.mark.parametrize("arguments, message", (
    ({"width": 33}, "width=33: must be from 1 to 32"),
    ({"width": 4, "reset": 16}, "reset=0x10: must fit 4 bits"),
    ({"access": "wo"}, "access='wo': must be one of"),
    ({"fields": (Field("a", 0, 4), Field("b", 3))}, "x.b: overlaps"),
))
def test_register_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        Register("x", **arguments)


def test_map_refuses_equal_names_and_regions_that_overlap():
    regs = RegisterMap().add(Register("x"))
    with pytest.raises(ValueError, match="this name is taken by address 0x0000"):
        regs.add(Register("x"))
    with pytest.raises(ValueError, match="must be a multiple of 0x100 from 0x4"):
        regs.region(0)
    with pytest.raises(ValueError, match="the address space of 0x4 bytes is full"):
        RegisterMap(size=4).add(Register("x")).add(Register("y"))


@pytest.mark.parametrize("address", (0x80, 0x102, 0x400))
def test_table_refuses_an_address_that_has_no_place(address):
    with pytest.raises(ValueError, match=f"register at {address:#x}: must be one of the first 32 words of the first 4 regions"):
        RegisterTable({address: (0, 1)})


@pytest.mark.parametrize("bits", _TAPS)
def test_small_counters_pass_through_every_state_but_one(bits):
    positions = _positions(bits)
    assert sorted(positions[:-1]) == list(range((1 << bits) - 1)) and positions[0] == 0


def test_every_register_is_documented():
    regs = build()
    text = regs.markdown()
    assert all(f"| {address:#06x} | {name} |" in text for name, address in regs.addresses().items())
