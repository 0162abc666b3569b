"""Slowest path per block: by hand, and against what nextpnr says of a design it routed."""
import json

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from spps_boards.block_ram import with_setup
from spps_boards.flow import place, readable, run_yosys, synth
from spps_boards.pinless import Pinless
from spps_boards.synth import DEVICES
from spps_boards.timing import Timing, blocks_of_cells, read_sdf, slowest_paths
from spps_sim.harness import to_verilog

SDF = r"""(DELAYFILE
  (CELL
    (CELLTYPE "top")
    (INSTANCE )
    (DELAY
      (ABSOLUTE
        (INTERCONNECT a\.x_FF.Q a\.gate.A (100:200:300) (100:200:250))
        (INTERCONNECT pin.O a\.gate.B (90000:90000:90000) (90000:90000:90000))
        (INTERCONNECT a\.gate.F b\$1\.y_FF.D (10:10:10) (10:10:20))
        (INTERCONNECT a\.gate.F a\.x_FF.D (5:5:5) (5:5:5))
        (INTERCONNECT b\$1\.y_FF.Q b\$1\.y_FF.CE (2000:2000:2000) (2000:2000:2000))
      )
    )
  )
  (CELL
    (CELLTYPE "COMB")
    (INSTANCE a\.gate)
        (IOPATH A F (7:7:7) (7:7:7))
        (IOPATH B F (7:7:7) (7:7:7))
  )
  (CELL
    (INSTANCE a\.x_FF)
        (IOPATH CLK Q (400:400:400) (400:400:410))
      (SETUPHOLD (posedge D) (posedge CLK) (0:0:50) (0:0:0))
  )
  (CELL
    (INSTANCE b\$1\.y_FF)
        (IOPATH CLK Q (1:1:1) (1:1:1))
      (SETUPHOLD (posedge D) (posedge CLK) (0:0:60) (0:0:0))
      (SETUPHOLD (negedge D) (posedge CLK) (0:0:70) (0:0:0))
      (SETUPHOLD (posedge CE) (posedge CLK) (0:0:3) (0:0:0))
  )
"""


def test_the_slowest_path_to_each_block_counts_from_clock_to_clock(tmp_path):
    path = tmp_path / "timing.sdf"
    path.write_text(SDF)
    timing = read_sdf(path)
    found = slowest_paths(timing, lambda cell: cell[0])
    assert found["a"][:] == (410 + 300 + 7 + 5 + 50, "a.x_FF", "a.x_FF")
    assert found["b"][:] == (1 + 2000 + 3, "b$1.y_FF", "b$1.y_FF")
    assert found["b"].mhz == pytest.approx(1e6 / 2004)
    timing.arcs["b$1.y_FF.Q"].clear()
    assert slowest_paths(timing, lambda cell: cell[0])["b"][:] == (410 + 300 + 7 + 20 + 70, "a.x_FF", "b$1.y_FF")
    assert slowest_paths(timing, lambda cell: None) == {}


def test_a_loop_of_gates_is_an_error_and_not_a_figure():
    timing = Timing({"r.Q": [("g.A", 1)], "g.A": [("g.F", 1)], "g.F": [("g.A", 1), ("r.D", 1)]}, {"r.Q": 1}, {"r.D": 1})
    with pytest.raises(ValueError, match="3 pins on or behind a loop of gates: must be none"):
        slowest_paths(timing, lambda cell: cell)


def test_a_cell_belongs_to_the_block_whose_line_it_came_from():
    verilog = "module top(a);\nendmodule\nmodule \\top.one (a);\n\nendmodule\nmodule \\top.two$3.inside (a);\nendmodule\nmodule other(a);\nendmodule\n"

    def cell(line):
        return {"attributes": {"src": f"x.v:7.1-8.1|synth.v:{line}.3-{line}.9"}}
    block = blocks_of_cells({"top.two$3.q": cell(4), "z": cell(1), "r": cell(7), "out": cell(8)}, verilog, "synth.v", "top")
    assert [block(name) for name in ("top.two$3.q", "z", "r", "out")] == ["one", "(glue)", "two$3", None]
    assert [block(name) for name in ("w.top.two$3.store.0.1", "top.one.file.0.0$DPRAM_COMB2", "port")] == ["two$3", "one", None]
    assert block("r$RAMW_SLICE") == "two$3"


class Sums(wiring.Component):
    """Adds what a memory holds; the sum goes through a register of its own block."""
    i: In(16)
    o: Out(16)

    def elaborate(self, platform):
        m = Module()
        m.submodules.slow = slow = Module()
        m.submodules.fast = fast = Module()
        total, product = Signal(16), Signal(16)
        slow.d.sync += total.eq(total + (self.i ^ (total << 3)) + (total >> 5))
        fast.d.sync += product.eq(self.i ^ self.o)
        m.d.sync += self.o.eq(total ^ product)
        return m


def test_the_slowest_block_of_a_routed_design_is_as_fast_as_nextpnr_says_of_the_whole(tmp_path):
    source = readable(to_verilog(Pinless(Sums()), "top", tmp_path / "top.v").read_text())
    (tmp_path / "synth.v").write_text(source)
    run_yosys(f"read_verilog -sv synth.v; {synth('top')}; write_json top.json", tmp_path, "yosys.log")
    cells = json.loads((tmp_path / "top.json").read_text())["modules"]["top"]["cells"]
    block = blocks_of_cells(cells, source, "synth.v", "top.inner")
    found = place(tmp_path, DEVICES["gbe"], seeds=(1, 2), target_mhz=100, block=block)
    for seed in ("1", "2"):
        whole = found["fmax_mhz"][seed]
        assert found["block_fmax_mhz"]["slow"][seed] == pytest.approx(whole, rel=0.003)
        assert found["block_fmax_mhz"]["fast"][seed] > whole + 20 < found["block_fmax_mhz"]["(glue)"][seed]
        everything = slowest_paths(read_sdf(tmp_path / f"timing_{seed}.sdf"), lambda cell: "all")["all"]
        assert everything.mhz == pytest.approx(whole, rel=0.003)
    assert found["block_paths"]["slow"] == found["critical_path"]


def test_every_address_and_enable_of_a_block_ram_gets_its_setup_time():
    text = with_setup("module x();\nendmodule\n(* blackbox *)\nmodule DP16KD(\n input ADA0);\n parameter P = 1;\nendmodule\nmodule y();", 900)
    assert text.startswith("(* blackbox *)\nmodule DP16KD(") and text.count("endmodule") == 1 and "parameter P = 1;" in text
    assert text.count(", 900);") == 2 * (14 + 2) and "$setup(ADB13, posedge CLKB, 900);" in text
    with pytest.raises(ValueError, match="no black box DP16KD"):
        with_setup("module DP16KC();\nendmodule")
