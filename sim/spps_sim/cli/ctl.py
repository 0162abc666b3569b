"""`spps ctl`: talks to a running `spps live`."""
import json
import sys

import click

__all__ = ["ctl"]


@click.command()
@click.argument("words", nargs=-1, required=True)
def ctl(words):
    """Talk to a running `spps live`: status, stats, kill active, freeze active, thaw, reprogram FILE or default."""
    from ..live.control import control
    answer = control(words)
    click.echo(json.dumps(answer, indent=1))
    if "error" in answer:
        sys.exit(1)
