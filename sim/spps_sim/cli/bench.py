"""`spps bench`: figures of the microcode and of the way to it."""
import click

from spps.tools.options import out_option

__all__ = ["bench"]


@click.command()
@out_option("bench/summary.json", "File for the figures.", file=True)
def bench(out):
    """Measure clocks per event of the microcode.

    Clocks that a core spends on an event of a protected upload, and clocks from the director's taking of an event to
    its first instruction.
    """
    from ..measure import dispatch, events
    from ..measure.summary import record
    for name, measured in (("cycles_per_event", events.figures), ("dispatch_cycles", dispatch.measure)):
        click.echo(f"measuring {name}")
        for figure, value in record(name, measured(), out).items():
            click.echo(f"{figure:44} {value:8} clocks")
