# amaranth: UnusedElaboratable=no
"""What stands around nextpnr: the wrapper without pins, the reset on a clock net, costs, the slowest path."""
import json

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from spps_boards.flow import costs, critical_path, frequency_line, place
from spps_boards.pinless import Pinless
from spps_boards.reset_net import reset_on_clock_net
from spps_boards.synth import DEVICES, block_costs
from tests.boards.netlists import cells_of, synthesized


class Counts(wiring.Component):
    """A counter that can be stopped and whose sum with an input is a path."""
    enable: In(1)
    i: In(8)
    o: Out(8)

    def elaborate(self, platform):
        m = Module()
        count = Signal(8)
        with m.If(self.enable):
            m.d.sync += count.eq(count + 1)
        m.d.sync += self.o.eq(self.i + count)
        return m


def cells(netlist, kind):
    return [cell for cell in cells_of(netlist).values() if cell["type"] == kind]


@pytest.fixture(scope="module")
def netlist(tmp_path_factory):
    return synthesized(tmp_path_factory.mktemp("tied"), Counts(), {"enable": 1})


def test_an_input_that_is_tied_gets_no_flip_flop(netlist, tmp_path):
    free = synthesized(tmp_path, Counts())
    assert len(cells(free, "TRELLIS_FF")) == len(cells(netlist, "TRELLIS_FF")) + 1


def test_tying_an_input_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="tied enabel: must be an input, has enable, i"):
        Pinless(Counts(), {"enabel": 1})


def test_reset_of_every_flip_flop_goes_through_a_clock_net_and_the_result_is_routed(netlist):
    before = json.loads(netlist.read_text())["modules"]["top"]
    reset = before["ports"]["rst"]["bits"]
    driven = [cell for cell in before["cells"].values() if cell["connections"].get("LSR") == reset]
    assert reset_on_clock_net(netlist) == len(driven) > 16
    gate, = cells(netlist, "DCCA")
    assert gate["connections"]["CLKI"] == reset
    flops = [cell["connections"]["LSR"] for cell in cells(netlist, "TRELLIS_FF")]
    assert flops.count(gate["connections"]["CLKO"]) == len(driven) and reset not in flops
    found = place(netlist.parent, DEVICES["gbe"], seeds=(1,), target_mhz=100)
    assert found["fmax_mhz"]["1"] > 100 and " -> " in found["critical_path"]
    assert json.loads(json.dumps(found)) == found


def test_a_netlist_without_the_reset_is_refused(tmp_path):
    path = tmp_path / "top.json"
    cell = {"type": "TRELLIS_FF", "connections": {"LSR": ["0"]}}
    module = {"attributes": {"top": "1"}, "ports": {"rst": {"bits": [2]}}, "cells": {"flop": cell}, "netnames": {}}
    path.write_text(json.dumps({"modules": {"top": module}}))
    with pytest.raises(ValueError, match="input 'rst' resets no flip-flop"):
        reset_on_clock_net(path)
    with pytest.raises(ValueError, match="no input 'reset', has rst"):
        reset_on_clock_net(path, "reset")


def test_costs_count_carry_chains_and_distributed_memory_as_luts():
    assert costs({"LUT4": 5, "CCU2C": 2, "TRELLIS_DPR16X4": 1, "TRELLIS_FF": 7, "DP16KD": 1, "PDPW16KD": 2,
                  "MULT18X18D": 1}) == {
        "lut4": 13, "ff": 7, "ebr": 3, "dsp": 1}


def test_costs_of_blocks_are_summed_over_the_modules_in_them():
    stat = {"modules": {
        "\\top": {"num_cells_by_type": {"top.a": 2, "LUT4": 1}},
        "\\top.a": {"num_cells_by_type": {"leaf": 3, "TRELLIS_FF": 1}},
        "\\leaf": {"num_cells_by_type": {"LUT4": 4}}}}
    blocks = block_costs(stat, "top")
    assert blocks["a"] == {"lut4": 24, "ff": 2, "ebr": 0, "dsp": 0} and blocks["(glue)"]["lut4"] == 1


def test_the_slowest_path_is_that_of_the_clock():
    def path(source, *names):
        return {"from": source, "to": source,
                "path": [{"from": {"cell": a}, "to": {"cell": b}} for a, b in zip(names, names[1:])]}
    report = {"critical_paths": [path("<async>", "x", "y"),
                                 path("posedge $glbnet$clk", "core.pc_TRELLIS_FF_Q", "l", "core.alu_LUT4_A")]}
    assert critical_path(report) == "core.pc -> core.alu"
    assert critical_path({}) is None


def test_a_report_says_when_nothing_was_routed():
    assert frequency_line({"fmax_mhz": {}}) == "Synthesized, not routed."
    assert frequency_line({"fmax_mhz": {"1": 98.5, "2": 97.0}, "critical_path": "a -> b"}) == \
        "Fmax 98.5 (seed 1), 97.0 (seed 2) MHz; critical path: a -> b"
