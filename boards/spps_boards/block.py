"""One block alone on ECP5: what it costs without its port registers, and how fast it is between them."""
import json
import time

from spps.failover import FailoverUnit
from spps.failover.sip_hash import SipHash
from spps.neighbour import Announcer, NeighbourTable
from spps.params import PRESETS
from spps.tools.verilog import to_verilog

from .core_alone import CoreAlone
from .flow import costs, frequency_line, place, readable, run_yosys, synth
from .pinless import Pinless

__all__ = ["BLOCKS", "block_table", "synthesize_block"]

#: name -> component of the preset's parameters
BLOCKS = {"announcer": Announcer, "core": CoreAlone, "failover": FailoverUnit, "neighbour": NeighbourTable,
          "sip_hash": lambda _: SipHash()}
_COUNTED = ("LUT4", "CCU2C", "TRELLIS_DPR16X4")


def synthesize_block(name, preset, device, out, *, seeds=(1,), route=True, target_mhz=140):
    """Synthesize and place one block between port registers; returns the summary and writes it to out/summary.json.

    The costs are those of the block's own module, which keeps its boundary until they are counted; `fmax_mhz` includes
    the paths from and to the port registers.

    Parameters
    ----------
    name : str
        A key of BLOCKS.
    preset : str
        Name of the SppsParams from which the block is made.
    device : tuple
        A value of `synth.DEVICES`.
    out : pathlib.Path
        Folder of the netlists, logs and the summary.
    seeds : iterable of int
        Placement seeds; the block is routed once for each.
    route : bool
        Whether to place and route, or to stop after synthesis.
    target_mhz : int
        Frequency asked of nextpnr.

    Raises ToolError when Yosys fails or nextpnr writes no report.
    """
    out.mkdir(parents=True, exist_ok=True)
    top = to_verilog(Pinless(BLOCKS[name](PRESETS[preset])), "top", out / "top.v")
    (out / "synth.v").write_text(readable(top.read_text()))
    started = time.time()
    run_yosys("read_verilog -sv synth.v; hierarchy -top top; setattr -mod -set keep_hierarchy 1 top.inner; "
              f"{synth('top')}; tee -q -o stat.json stat -json; "
              "setattr -mod -unset keep_hierarchy top.inner; flatten; opt_clean; write_json top.json", out, "yosys.log")
    cells = json.loads((out / "stat.json").read_text())["modules"]["\\top.inner"]["num_cells_by_type"]
    summary = {"device": device[0], "speed_grade": device[3], **costs(cells),
               "cells": {kind: cells.get(kind, 0) for kind in _COUNTED},
               "yosys_seconds": round(time.time() - started)}
    if route:
        summary |= place(out, device, seeds=seeds, target_mhz=target_mhz)
    (out / "summary.json").write_text(json.dumps(summary, indent=1))
    return summary


def block_table(name, preset, summary):
    """The summary as a Markdown table."""
    cells = ", ".join(f"{count} {kind}" for kind, count in summary["cells"].items())
    return "\n".join([
        f"### {name}, preset {preset}, alone: {summary['device']} grade {summary['speed_grade']}", "",
        frequency_line(summary), "",
        "| LUT4 | of these | FF | block RAM |", "|---|---|---|---|",
        f"| {summary['lut4']} | {cells} | {summary['ff']} | {summary['ebr']} |"])
