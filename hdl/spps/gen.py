"""Verilog of an SPPS and of a pair, plain files that need no Python to use.

    spps verilog --preset gbe

writes spps.v and spps_pair.v into the folder verilog/gbe of the build folder and lints both with Verilator
(waivers: hdl/spps/lint.vlt).
"""
import shutil
import subprocess
from pathlib import Path

from .params import PRESETS
from .tools.errors import ToolError

__all__ = ["preset_params", "write_spps", "write_pair", "write_board", "find_verilator", "lint_verilog"]


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
    path = Path(folder) / ("spps_activity.v" if activity else "spps.v")
    return to_verilog(Spps(params, image=image, activity=activity), "spps", path)


def write_pair(params, folder):
    """Write spps_pair.v, which holds module spps_pair and module spps with its port `activity`; returns its path."""
    from .pair import SppsPair
    return _with_unit(params, SppsPair(params), "spps_pair", folder)


def _with_unit(params, component, name, folder):
    """Write <name>.v: a top with instances of module spps, and that module; returns its path."""
    from .tools.verilog import to_verilog
    folder = Path(folder)
    unit = write_spps(params, folder, activity=True)
    top = to_verilog(component, name, folder / f"{name}_only.v")
    path = folder / f"{name}.v"
    text = top.read_text() + "\n" + unit.read_text()
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return path


def write_board(params, folder):
    """Write spps_board.v, which holds module spps_board and module spps with its port `activity`; returns its path."""
    from .unit_board import UnitBoard
    return _with_unit(params, UnitBoard(params), "spps_board", folder)


def find_verilator():
    """Path of the Verilator that builds and lints here, or None."""
    from .tools.paths import tool_environment
    return shutil.which("verilator", path=tool_environment()["PATH"])


def lint_verilog(path, top):
    """Lint module `top` of a file with Verilator. Raises ToolError with its messages."""
    from .tools.paths import tool_environment
    waivers = Path(__file__).with_name("lint.vlt")
    command = ["verilator", "--lint-only", "-Wall", str(waivers), str(path), "--top-module", top]
    done = subprocess.run(command, env=tool_environment(), capture_output=True, text=True)
    if done.returncode:
        raise ToolError(f"lint of {path.name} failed:\n{done.stderr[:4000]}")
