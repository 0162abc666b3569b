"""`spps trace`: what the cores do for one connection."""
import click

from spps.tools.options import COUNT, SEED, ByteCount, out_option, preset_option

from .building import checked_connections, simulation

__all__ = ["trace"]


@click.command()
@click.option("--seed", type=SEED, default=1, show_default=True,
              help="Repeats a run: cycle of the kill and payload.")
@preset_option()
@click.option("--connections", type=COUNT, default=2, show_default=True,
              help="Number of TCP connections, at most what the preset holds.")
@click.option("--bytes", "size", type=ByteCount(), default=12_000, show_default=True,
              help="Bytes each way of each connection; 64k and 1M are understood.")
@click.option("--conn", type=click.IntRange(min=0),
              help="Number of the connection to show  [default: the one with the most events]")
@click.option("--around", type=click.Choice(["kill", "open"]), default="kill", show_default=True,
              help="Which events to show: those around the kill, or the first.")
@click.option("--events", type=COUNT, default=6, show_default=True,
              help="Number of events; with --around kill before and after it each.")
@click.option("--steps/--no-steps", default=True, show_default=True,
              help="With the microcode lines that were executed.")
@out_option("trace", "Folder for trace.txt, summary.json, captures and report.html.")
@click.pass_context
def trace(ctx, seed, preset, connections, size, conn, around, events, steps, out):
    """Show what the cores do for one connection.

    Runs a small demo with a kill and Python endpoints, and prints events, microcode lines, state changes and segments
    with their cycles. Progress goes to stderr.
    """
    checked_connections(connections, preset)
    if conn is not None and conn >= connections:
        raise click.UsageError(f"--conn {conn}: the run has connections 0 to {connections - 1}; see --connections")
    from rich.console import Console

    from ..demo.python import run_python_demo
    from ..trace.window import TraceOptions
    sim, params = simulation(preset, err=True)
    summary = run_python_demo(sim, params, seed=seed, connections=connections, size=size, out=out,
                              console=Console(stderr=True), trace=TraceOptions(conn, around, events, steps, early=True))
    click.echo((out / "trace.txt").read_text(), nl=False)
    ctx.exit(summary["verdict"] != "pass")
