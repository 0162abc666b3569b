"""Synthesis, placement and routing of one SPPS for ECP5, with a table of the costs of each block.

`spps synth` is the command; it writes synth/<preset or block>/summary.json below the build folder.
"""
import json
import re
import time
from pathlib import Path

from spps.params import PRESETS
from spps.tools.errors import ToolError
from spps.tools.paths import BUILD, checkout

from .flow import costs, frequency_line, place, readable, run_yosys, synth
from .pinless import Pinless
from .reset_net import reset_on_clock_net
from .timing import blocks_of_cells

__all__ = ["DEVICES", "block_costs", "readme", "synthesize", "table", "update_readme"]

#: preset -> (part, nextpnr option, package, speed grade)
DEVICES = {
    "tiny": ("LFE5UM5G-85F", "--um5g-85k", "CABGA756", 8),
    "gbe": ("LFE5UM5G-45F", "--um5g-45k", "CABGA554", 8),
    "oc192": ("LFE5UM5G-85F", "--um5g-85k", "CABGA756", 8),
}

#: inputs that a board ties: `enable` stops a unit in simulation; tied, no flip-flop needs a clock enable for it
TIED = {"enable": 1}


def block_costs(stat, top):
    """Return {submodule of module `top`: {lut4, ff, ebr, dsp}}; stat: JSON that Yosys's `stat` wrote."""
    modules = {name.lstrip("\\"): value for name, value in stat["modules"].items()}

    def total(name):
        cells = dict(modules[name].get("num_cells_by_type", {}))
        out = costs(cells)
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
    blocks["(glue)"] = costs(modules[top].get("num_cells_by_type", {}))
    return blocks


def synthesize(preset, out=None, *, seeds=(1,), route=True, target_mhz=100):
    """Synthesize a preset; returns the summary and writes it to out/summary.json.

    The costs of a block are those of its module, mapped alone with LUTs of four inputs; the whole is mapped flat.

    Parameters
    ----------
    preset : str
        A key of DEVICES.
    out : path, optional
        Folder of the netlists, logs and the summary; by default synth/<preset> in the build folder.
    seeds : iterable of int
        Placement seeds; the unit is routed once for each.
    route : bool
        Whether to place and route, or to stop after synthesis.
    target_mhz : int
        Frequency asked of nextpnr.

    Returns {device, speed_grade, lut4, ff, ebr, dsp, blocks: {name: costs}, yosys_seconds} and, when routed, what
    `flow.place` returns. Raises ToolError when Yosys fails or nextpnr writes no report.
    """
    from spps.gen import write_spps
    from spps.tools.verilog import to_verilog
    from spps.unit_instance import UnitInstance
    part, _, _, grade = DEVICES[preset]
    out = Path(out or BUILD / "synth" / preset)
    out.mkdir(parents=True, exist_ok=True)
    # through Verilog, as users of the generated file do: Yosys heeds no_rw_check only on memories it has read from
    # Verilog
    verilog = write_spps(PRESETS[preset], out)
    top = to_verilog(Pinless(UnitInstance(PRESETS[preset]), TIED), "top", out / "top.v")
    source = readable(verilog.read_text() + top.read_text())
    (out / "synth.v").write_text(source)
    read = "read_verilog -sv synth.v"
    started = time.time()
    run_yosys(f"{read}; {synth('top', '-noflatten', inputs=4)}; tee -q -o stat.json stat -json", out, "blocks.log")
    run_yosys(f"{read}; {synth('top')}; write_json top.json; tee -q -o flat.json stat -json", out, "yosys.log")
    reset_on_clock_net(out / "top.json")
    flat = json.loads((out / "flat.json").read_text())
    cells = next(iter(flat["modules"].values()))["num_cells_by_type"]
    summary = {"device": part, "speed_grade": grade, **costs(cells),
               "blocks": block_costs(json.loads((out / "stat.json").read_text()), "spps"),
               "yosys_seconds": round(time.time() - started)}
    if route:
        netlist = json.loads((out / "top.json").read_text())["modules"]["top"]["cells"]
        found = place(out, DEVICES[preset], seeds=seeds, target_mhz=target_mhz,
                      block=blocks_of_cells(netlist, source, "synth.v", "spps"))
        for name, fast in found.pop("blocks").items():
            summary["blocks"][name] |= fast
        summary |= found
    (out / "summary.json").write_text(json.dumps(summary, indent=1))
    return summary


def table(preset, summary):
    """The summary as a Markdown table."""
    lines = [f"### {preset}: {summary['device']} grade {summary['speed_grade']}", "",
             frequency_line(summary), "",
             "| block | LUT4 | FF | block RAM | Fmax, MHz | slowest path that ends in it |",
             "|---|---|---|---|---|---|"]
    blocks = sorted(summary["blocks"].items(), key=lambda item: -item[1]["lut4"])
    for name, found in [*blocks, ("**whole, flattened, with port registers**", summary)]:
        fmax = ", ".join(map(str, found.get("fmax_mhz", {}).values())) or "-"
        path = found.get("critical_path", "-")
        lines.append(f"| {name} | {found['lut4']} | {found['ff']} | {found['ebr']} | {fmax} | {path} |")
    return "\n".join(lines)


def readme():
    """Return the path of boards/README.md in the checkout. Raises ToolError for an installed package."""
    root = checkout()
    if root is None:
        raise ToolError("--update-readme: expected a source checkout; "
                        "this package is installed without boards/README.md")
    return root / "boards" / "README.md"


def update_readme(name, text):
    """Put a text between the marks of `name` in boards/README.md. Raises ToolError without marks or checkout."""
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before = readme().read_text()
    if start not in before or end not in before:
        raise ToolError(f"{readme()}: no marks {start} and {end}")
    marked = re.escape(start) + ".*?" + re.escape(end)
    readme().write_text(re.sub(marked, lambda _: f"{start}\n{text}\n{end}", before, flags=re.S))
