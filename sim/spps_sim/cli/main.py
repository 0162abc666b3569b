"""Command line `spps`: demo, trace, campaign, live, ctl, verilog."""
import click

from .bench import bench
from .campaign import campaign
from .ctl import ctl
from .demo import demo
from .live import live
from .trace import trace

__all__ = ["main"]


class _Clean(click.Group):
    """Errors a user can act on are one line and a non-zero exit."""

    def invoke(self, ctx):
        from ..network.namespaces import MissingPrivilege
        try:
            return super().invoke(ctx)
        except (MissingPrivilege, ConnectionError, RuntimeError, ValueError) as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_Clean)
def main():
    """SPPS: connections that survive the death of their proxy."""


for command in (demo, trace, campaign, live, ctl, bench):
    main.add_command(command)


@main.command()
@click.option("--preset", default="tiny", show_default=True)
def verilog(preset):
    """Write plain Verilog of one SPPS and of the pair."""
    from spps.gen import main as generate
    generate.main(["--preset", preset], standalone_mode=False)


if __name__ == "__main__":
    main()
