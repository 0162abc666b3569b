"""`spps bench`: figures of the microcode, of the way to it, and of whole units."""
import click

from spps.tools.options import COUNT, out_option

__all__ = ["bench"]

MEASURED = ("tiny", "gbe", "oc192")


@click.command()
@click.option("--only", type=click.Choice(["clocks", "failover", "goodput", "switch"]),
              help="Measure this alone  [default: all]")
@click.option("--preset", "presets", type=click.Choice(MEASURED), multiple=True,
              help=f"Goodput of this preset alone; may be repeated  [default: {', '.join(MEASURED)}]")
@click.option("--processes", type=COUNT, help="Number of simulations at a time  [default: one per processor]")
@out_option("bench/summary.json", "File for the figures.", file=True)
@click.option("--switch-overs", type=COUNT, default=100, show_default=True, help="Number of switch-overs in a row.")
def bench(only, presets, processes, switch_overs, out):
    """Measure clocks per event of the microcode, what failover costs, and goodput of whole units.

    clocks: clocks that a core spends on an event of a protected upload, and clocks from the director's taking of an
    event to its first instruction. failover: takeover, rejoin, goodput and delay of ACKs with a standby and without,
    over the number of connections, preset live; as a Markdown table. goodput: payload bytes per clock between peers in
    simulated time, over the number of connections, one way and both, protected and not, with small windows, slow ends
    and memory for large windows; as a Markdown table. switch: planned switch-overs in a row under load, preset tiny:
    the longest gap per peer, and what the peers sent again; as a Markdown table.
    """
    from ..measure.summary import record
    if only in (None, "clocks"):
        from ..measure import dispatch, events
        for name, measured in (("cycles_per_event", events.figures), ("dispatch_cycles", dispatch.measure)):
            click.echo(f"measuring {name}")
            for figure, value in record(name, measured(), out).items():
                click.echo(f"{figure:44} {value:8} clocks")
    if only in (None, "failover"):
        from spps.params import PRESETS

        from ..measure import failover
        from .building import build
        build(PRESETS[failover.PRESET], err=True)
        found = []
        for connections in failover.COUNTS:
            click.echo(f"measuring failover with {connections} connections", err=True)
            found.append(failover.measure(connections))
        record("failover", found, out)
        click.echo(failover.table(found))
    if only in (None, "switch"):
        from spps.params import PRESETS

        from ..demo import switches
        from .building import build
        build(PRESETS[switches.PRESET], err=True)
        click.echo(f"measuring {switch_overs} switch-overs", err=True)
        figures = switches.measure(switch_overs)
        record("switch", figures, out)
        click.echo(switches.table(figures))
    if only in (None, "goodput"):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

        from ..measure import goodput
        from .building import build
        wanted = [case for preset in presets or MEASURED for case in goodput.cases(preset)]
        for params in dict.fromkeys(case.params() for case in wanted):
            build(params, err=True)
        with Progress("goodput", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                      console=Console(stderr=True)) as progress:
            task = progress.add_task("goodput", total=len(wanted))
            figures = goodput.measure_all(wanted, processes, lambda: progress.advance(task))
        record("goodput", figures, out)
        click.echo(goodput.table(figures))
