"""Slowest path per block: by hand, and against what nextpnr says of a design it routed."""
import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from spps_boards.block_ram import far_block_ram
from spps_boards.flow import place
from spps_boards.synth import DEVICES
from spps_boards.timing import Timing, blocks_of_cells, read_sdf, slowest_paths
from tests.boards.netlists import cells_of, synthesized

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
    verilog = ("module top(a);\nendmodule\nmodule \\top.one (a);\n\nendmodule\n"
               "module \\top.two$3.inside (a);\nendmodule\nmodule other(a);\nendmodule\n")

    def cell(line):
        return {"attributes": {"src": f"x.v:7.1-8.1|synth.v:{line}.3-{line}.9"}}
    block = blocks_of_cells({"top.two$3.q": cell(4), "z": cell(1), "r": cell(7), "out": cell(8)}, verilog, "synth.v",
                            "top")
    assert [block(name) for name in ("top.two$3.q", "z", "r", "out")] == ["one", "(glue)", "two$3", None]
    assert [block(name) for name in ("w.top.two$3.store.0.1", "top.one.file.0.0$DPRAM_COMB2",
                                     "port")] == ["two$3", "one", None]
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
    cells = cells_of(synthesized(tmp_path, Sums()))
    block = blocks_of_cells(cells, (tmp_path / "synth.v").read_text(), "synth.v", "top.inner")
    found = place(tmp_path, DEVICES["gbe"], seeds=(1, 2), target_mhz=100, block=block)
    for seed in ("1", "2"):
        whole = found["fmax_mhz"][seed]
        slow, fast, glue = (found["blocks"][name]["fmax_mhz"][seed] for name in ("slow", "fast", "(glue)"))
        assert slow == pytest.approx(whole, rel=0.003) and fast > whole + 20 < glue
        everything = slowest_paths(read_sdf(tmp_path / f"timing_{seed}.sdf"), lambda cell: "all")["all"]
        assert everything.mhz == pytest.approx(whole, rel=0.003)
    assert found["blocks"]["slow"]["critical_path"] == found["critical_path"]


def test_a_block_ram_stands_between_delays_while_it_is_mapped():
    library = """(* blackbox *)
module DP16KD(
  input DIA0, input ADA1, ADA0,
  input CEA, CLKA, output DOA1, DOA0
);
  parameter DATA_WIDTH_A = 18;
  parameter DIA0MUX = "DIA0";
  parameter CLKAMUX = "CLKA";
  parameter [9:0] INITVAL_00 = 10'd0;
endmodule
module other(); endmodule"""
    text = far_block_ram("module x(); endmodule\n" + library)
    assert "#(.DATA_WIDTH_A(DATA_WIDTH_A), .CLKAMUX(CLKAMUX), .INITVAL_00(INITVAL_00)) _TECHMAP_REPLACE_" in text
    assert "DIA0MUX" not in text
    assert ("(.DIA0(DIA0), .ADA1(near_ADA1), .ADA0(near_ADA0), .CEA(near_CEA), .CLKA(CLKA), "
            ".DOA1(near_DOA1), .DOA0(near_DOA0));") in text
    assert "SPPS_RAM_IN far_ADA1 (.I(ADA1), .O(near_ADA1));" in text
    assert "SPPS_RAM_OUT far_DOA0 (.I(near_DOA0), .O(DOA0));" in text
    assert text.count("SPPS_RAM_") == 5
    with pytest.raises(ValueError, match="no black box DP16KD"):
        far_block_ram("module DP16KC();\nendmodule")


class Lookup(wiring.Component):
    """A block RAM whose address comes from what it holds."""
    i: In(16)
    o: Out(16)

    def elaborate(self, platform):
        m = Module()
        m.submodules.store = store = memory.Memory(shape=16, depth=1024, init=range(1, 1025))
        read, write = store.read_port(), store.write_port()
        m.d.comb += [read.addr.eq(read.data[:10] ^ self.i[:10]), write.addr.eq(self.i[:10]), write.data.eq(self.i),
                     write.en.eq(self.i[15])]
        m.d.sync += self.o.eq(read.data)
        return m


def test_the_delays_are_gone_from_the_netlist_and_the_block_ram_is_what_it_was(tmp_path):
    plain = cells_of(synthesized(tmp_path / "plain", Lookup(), script="synth_ecp5 -nowidelut -top top"))
    far = cells_of(synthesized(tmp_path / "far", Lookup()))

    def block_ram(netlist):
        cell, = (cell for cell in netlist.values() if cell["type"] == "DP16KD")
        return cell["parameters"], {port: len(bits) for port, bits in cell["connections"].items()}
    (was, ports), (now, near) = block_ram(plain), block_ram(far)
    assert near == ports and was.items() <= now.items(), "a parameter or port was lost"
    assert not any("SPPS_RAM" in cell["type"] for cell in far.values())
