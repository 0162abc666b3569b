"""`spps bench`: figures of the microcode and of the path to it."""
import click

__all__ = ["bench"]


@click.command()
def bench():
    """Clocks per event of the microcode and to its start."""
    from ..measure import dispatch, events
    events.main()
    dispatch.main()
