"""Small designs through Yosys, as the boards' flow does it."""
import json

from spps.tools.verilog import to_verilog
from spps_boards.flow import readable, run_yosys, synth
from spps_boards.pinless import Pinless

__all__ = ["synthesized", "cells_of"]


def synthesized(folder, component, tied=None, script=None):
    """Map a component between port registers; write synth.v and top.json into the folder, return the latter's path."""
    folder.mkdir(exist_ok=True)
    (folder / "synth.v").write_text(
        readable(to_verilog(Pinless(component, tied or {}), "top", folder / "top.v").read_text()))
    run_yosys(f"read_verilog -sv synth.v; {script or synth('top')}; write_json top.json", folder, "yosys.log")
    return folder / "top.json"


def cells_of(netlist):
    """{name: cell} of a flat netlist."""
    return json.loads(netlist.read_text())["modules"]["top"]["cells"]
