"""MMC against its model; the rules of the register map; the documents made of it."""
from pathlib import Path
from types import SimpleNamespace

import pytest
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

import spps.mmc
from spps.lib import Counters
from spps.mmc import BLOCKS as BLOCK_ROWS
from spps.mmc import Mmc, Register, RegisterField, RegisterMap, block_counters, counting_blocks, register_map, spps_map
from spps.mmc.counter_file import _TAPS, _positions
from spps.mmc.document import registers_json, registers_markdown
from spps.mmc.register_table import RegisterTable
from spps.params import PRESETS, TINY
from spps_sim.testbench.runner import SIMULATORS, run_bench
from tests.mmc.registers_under_test import BLOCKS, build


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_mmc(simulator):
    run_bench(Mmc(TINY, BLOCKS), "tests.mmc.bench_mmc", name="mmc", simulator=simulator)


@pytest.mark.parametrize("arguments, message", (
    ({"width": 33}, "width=33: must be from 1 to 32"),
    ({"width": 4, "reset": 16}, "reset=0x10: must fit 4 bits"),
    ({"access": "no"}, "access='no': must be one of"),
    ({"width": 4, "most": 16}, "least=0, most=16: must fit 4 bits"),
    ({"least": 5, "most": 4}, "least=5, most=4"),
    ({"least": 1}, "reset=0x0: must be from 1 to 4294967295"),
    ({"fields": (RegisterField("a", 0, 4), RegisterField("b", 3))}, "x.b: overlaps"),
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


@pytest.mark.parametrize("address", (0x200, 0x280, 0x380, 0x3fc, 0x102, 0x400))
def test_table_refuses_an_address_that_has_no_place(address):
    with pytest.raises(ValueError,
                       match=f"register at {address:#x}: must be a word of regions 0 and 1 "
                             "or one of the first 32 of region 3"):
        RegisterTable({address: (0, 1)})


@pytest.mark.parametrize("bits", _TAPS)
def test_small_counters_pass_through_every_state_but_one(bits):
    positions = _positions(bits)
    assert sorted(positions[:-1]) == list(range((1 << bits) - 1)) and positions[0] == 0


def test_every_register_is_in_the_table_once():
    regs = build()
    rows = [line.split(" | ")[:2] for line in regs.markdown().splitlines()[2:]]
    assert rows == [[f"| {address:#06x}", name] for name, address in regs.addresses().items()]


def test_the_registers_of_a_unit_with_all_ports_fit():
    assert spps_map(TINY.replace(ports=16)).by_name["vlan_15"] == 0x1C8


def test_every_register_has_a_text():
    assert not [register.name
                for register in spps_map(TINY).by_address.values() if not (register.doc or register.fields)]


@pytest.mark.parametrize("limits, words", (
    ({}, ""), ({"most": 14}, "at most 14"), ({"least": 1, "most": 63, "reset": 1}, "1 to 63"),
    ({"most": (1 << 30) - 1}, "less than 2^30"), ({"least": 1, "reset": 1}, "at least 1"),
    ({"least": 1, "most": (1 << 30) - 1, "reset": 1}, "at least 1, less than 2^30"),
))
def test_limits_of_a_register_are_in_its_text(limits, words):
    register = Register("x", doc="says", **limits)
    assert register.limits() == words
    assert f"| says{words and '; ' + words} |" in RegisterMap().add(register).markdown()


@pytest.mark.parametrize("params", PRESETS.values(), ids=PRESETS)
def test_a_window_never_exceeds_the_socket_memory_of_a_direction(params):
    window = {r.name: r for r in spps_map(params).by_address.values()}["cfg_window"]
    assert window.highest == params.socket_bytes and window.reset == min(8192, params.socket_bytes)


@pytest.mark.parametrize("name, text", (("REGISTERS.md", registers_markdown), ("registers.json", registers_json)))
def test_documents_are_current(name, text):
    """Else: make docs."""
    assert Path(spps.mmc.__file__).with_name(name).read_text() == text(TINY)


def test_counters_of_a_block_need_texts():
    with pytest.raises(ValueError, match="shaper: counters are tuple, must be Counters"):
        register_map(TINY, [("shaper", ("some",))])


class _Counting(wiring.Component):
    COUNTERS = Counters({"some": "occurrences"})
    count: Out(COUNTERS.layout)
    _MustUse__silence = True        # never elaborated


def _blocks_of_a_top(**changes):
    """Stands for an Spps: attributes with blocks; None removes one."""
    blocks = {block.attribute: [_Counting()] if block.prefix == "cluster" else _Counting() for block in BLOCK_ROWS}
    return SimpleNamespace(params=TINY,
                           **{name: value for name, value in {**blocks, **changes}.items() if value is not None})


def test_counting_blocks_are_those_of_the_map():
    assert sorted(counting_blocks(_blocks_of_a_top())) == sorted(prefix for prefix, _ in block_counters(TINY))


def test_a_block_that_counts_needs_a_row_in_the_map():
    with pytest.raises(ValueError, match="shaper: _Counting counts, but mmc.blocks has no row for it"):
        counting_blocks(_blocks_of_a_top(shaper=_Counting()))


def test_a_row_of_the_map_needs_its_block():
    with pytest.raises(ValueError, match="egress: in mmc.blocks, but not a block of this SPPS"):
        counting_blocks(_blocks_of_a_top(egress=None))
