"""`spps trace`: what the cores do for one connection."""
import sys
from pathlib import Path

import click

from .building import simulation

__all__ = ["trace"]


@click.command()
@click.option("--seed", default=1, show_default=True, help="Of kill moment and payload.")
@click.option("--preset", default="tiny", show_default=True)
@click.option("--connections", default=2, show_default=True)
@click.option("--bytes", "size", default=12_000, show_default=True, help="Bytes each way of each connection.")
@click.option("--conn", type=int, help="Whose events to show; default the connection with the most.")
@click.option("--around", type=click.Choice(["kill", "open"]), default="kill", show_default=True, help="Which events to show: around the kill, or the first.")
@click.option("--events", default=6, show_default=True, help="How many; before and after the kill each.")
@click.option("--steps/--no-steps", default=True, show_default=True, help="With the microcode lines that were executed.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/trace"), show_default=True)
def trace(seed, preset, connections, size, conn, around, events, steps, out):
    """What the cores do for one connection: events, microcode lines, state changes, segments. A small demo with a kill is run for it."""
    from rich.console import Console

    from ..demo.python import run_python_demo
    from ..trace.window import TraceOptions
    sim, params = simulation(preset, err=True)
    summary = run_python_demo(sim, params, seed=seed, connections=connections, size=size, out=out, console=Console(stderr=True),
                              trace=TraceOptions(conn, around, events, steps, early=True))
    click.echo((out / "trace.txt").read_text(), nl=False)
    if summary["verdict"] != "pass":
        sys.exit(1)
