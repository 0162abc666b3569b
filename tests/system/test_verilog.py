"""The Verilog that users get is clean under lint, which also shows registers that lead nowhere."""
import pytest

from spps.gen import lint_verilog
from spps.params import TINY
from spps.tools.errors import ToolError
from spps_sim.backend.verilated import pair_verilog


def test_the_pair_lints():
    lint_verilog(pair_verilog(TINY), "spps_pair")


def test_a_signal_that_nothing_drives_fails_the_lint(tmp_path):
    path = tmp_path / "spps.v"
    path.write_text("module spps(output o);\n  wire unit;\n  assign o = unit;\nendmodule\n")
    with pytest.raises(ToolError, match="UNDRIVEN"):
        lint_verilog(path, "spps")
