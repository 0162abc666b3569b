"""Verilog of an SPPS and of a pair, plain files that need no Python to use.

    python -m spps.gen --preset gbe

writes build/verilog/<preset>/spps.v and spps_pair.v and lints both with Verilator (waivers: hdl/spps/lint.vlt).
"""
import subprocess
import sys
from pathlib import Path

import click

from .params import PRESETS

__all__ = ["preset_params", "write_spps", "write_pair", "lint_verilog", "main"]

ROOT = Path(__file__).resolve().parents[2]


def preset_params(preset, data_width=None):
    """SppsParams of a preset, optionally with another datapath width. Raises ValueError with the known names."""
    if preset not in PRESETS:
        raise ValueError(f"preset {preset!r}: must be one of {', '.join(sorted(PRESETS))}")
    params = PRESETS[preset]
    return params if data_width is None else params.replace(data_width=data_width)


def write_spps(params, folder, *, image=None, activity=False):
    """Write spps.v into folder; returns its path. activity: see Spps; the file is then spps_activity.v."""
    from .tools.verilog import to_verilog
    from .top import Spps
    return to_verilog(Spps(params, image=image, activity=activity), "spps", Path(folder) / ("spps_activity.v" if activity else "spps.v"))


def write_pair(params, folder):
    """Write spps_pair.v, which holds module spps_pair and module spps with its port `activity`; returns its path."""
    from .pair import SppsPair
    from .tools.verilog import to_verilog
    folder = Path(folder)
    unit = write_spps(params, folder, activity=True)
    pair = to_verilog(SppsPair(params), "spps_pair", folder / "pair_only.v")
    path = folder / "spps_pair.v"
    text = pair.read_text() + "\n" + unit.read_text()
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path


def lint_verilog(path, top):
    """Verilator's lint of module `top`; ClickException with its messages."""
    from .tools.paths import tool_environment
    command = ["verilator", "--lint-only", "-Wall", str(Path(__file__).with_name("lint.vlt")), str(path), "--top-module", top]
    done = subprocess.run(command, env=tool_environment(), capture_output=True, text=True)
    if done.returncode:
        raise click.ClickException(f"lint of {path.name} failed:\n{done.stderr[:4000]}")


@click.command()
@click.option("--preset", default="tiny", show_default=True, help="tiny, gbe or oc192.")
@click.option("--data-width", type=int, help="Datapath width in bits instead of the preset's.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder; default build/verilog/<preset>.")
@click.option("--lint/--no-lint", default=True, show_default=True)
def main(preset, data_width, output, lint):
    """Write plain Verilog of one SPPS and of the pair."""
    try:
        params = preset_params(preset, data_width)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    output = output or ROOT / "build" / "verilog" / preset
    for path in (write_spps(params, output), write_pair(params, output)):
        if lint:
            lint_verilog(path, path.stem)
        click.echo(f"{path}: {sum(1 for _ in path.open())} lines" + (", lint clean" if lint else ""))


if __name__ == "__main__":
    sys.exit(main())
