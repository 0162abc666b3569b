"""Command line `spps`: demo, trace, campaign, live, ctl, verilog."""
import json
import sys
from pathlib import Path

import click

from ..campaign.campaign import campaign

__all__ = ["main"]


class _Clean(click.Group):
    """Errors a user can act on are one line and a non-zero exit."""

    def invoke(self, ctx):
        from ..network.namespaces import MissingPrivilege
        try:
            return super().invoke(ctx)
        except (MissingPrivilege, ConnectionError, RuntimeError, ValueError) as error:
            raise click.ClickException(str(error)) from error


def _simulation(preset, trace="", err=False):
    """(Simulation, SppsParams) of the pair of a preset, built if need be, which is said on stdout or, with err, on stderr."""
    from spps.gen import preset_params

    from ..backend.simulation import Simulation
    click.echo("generating Verilog and building the simulation", err=err)
    params = preset_params(preset)
    return Simulation.of(params, trace), params


@click.group(cls=_Clean)
def main():
    """SPPS: connections that survive the death of their proxy."""


@main.command()
@click.option("--seed", type=int, help="Repeats a run: kill moment and payload.")
@click.option("--preset", help="tiny; duo with --reprogram, which needs two clusters.")
@click.option("--connections", default=4, show_default=True)
@click.option("--bytes", "size", default=1 << 20, show_default=True, help="Bytes each way of each connection.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/demo"), show_default=True)
@click.option("--endpoints", type=click.Choice(["auto", "linux", "python"]), default="auto", show_default=True,
              help="Linux sockets behind TAP devices, or Python TCP in simulated time; auto takes Python where TAP devices are not permitted.")
@click.option("--netem", default="", help="What tc-netem(8) does to both networks, both ways: 'loss 2% duplicate 1%'. Linux endpoints only.")
@click.option("--waves", is_flag=True, help="Also write OUT/demo.fst (demo.vcd without lz4.h): from 5000 cycles before the kill to 5000 after "
                                            "the takeover, 10 ns a cycle. Needs a build of its own.")
@click.option("--reprogram", is_flag=True, help="Also swap the program of both units under traffic, for the one without fast paths.")
def demo(seed, preset, connections, size, out, endpoints, netem, waves, reprogram):
    """Real TCP transfers through a pair; the active unit dies in the middle."""
    from ..demo.linux import run_demo
    from ..demo.python import run_python_demo
    from ..network.namespaces import MissingPrivilege, require_privilege
    if netem and endpoints == "python":
        raise click.UsageError("--netem: Python endpoints meet no kernel; --endpoints must be linux or auto")
    if endpoints != "python":
        try:
            require_privilege()
            endpoints = "linux"
        except MissingPrivilege as reason:
            if endpoints == "linux" or netem:
                raise
            click.echo(f"no TAP devices ({reason}): the Python TCP endpoint takes the place of Linux sockets")
            endpoints = "python"
    sim, params = _simulation(preset or ("duo" if reprogram else "tiny"), "fst" if waves else "")
    arguments = {"seed": seed, "connections": connections, "size": size, "out": out, "waves": waves}
    if reprogram:
        from spps.ucode.programs import default_image
        arguments["image"] = default_image(("NO_FAST",), params.imem_words)
    if endpoints == "python":
        summary = run_python_demo(sim, params, **arguments)
    else:
        summary = run_demo(lambda: sim, params, netem=tuple(netem.split()), **arguments)
    if summary["verdict"] != "pass":
        sys.exit(1)


@main.command()
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
    sim, params = _simulation(preset, err=True)
    summary = run_python_demo(sim, params, seed=seed, connections=connections, size=size, out=out, console=Console(stderr=True),
                              trace=TraceOptions(conn, around, events, steps, early=True))
    click.echo((out / "trace.txt").read_text(), nl=False)
    if summary["verdict"] != "pass":
        sys.exit(1)


@main.command()
@click.option("--mode", type=click.Choice(["proxy", "endpoint"]), default="proxy", show_default=True)
@click.option("--preset", default="tiny", show_default=True)
def live(mode, preset):
    """Keep a pair running between two network namespaces until Ctrl-C."""
    import signal

    from ..live.control import ControlSocket
    from ..network.namespaces import require_privilege
    from ..network.testbed import Addresses, Testbed
    require_privilege()
    sim, params = _simulation(preset)

    def stop(*_):
        raise KeyboardInterrupt

    # SIGINT too: a shell starts background jobs with it ignored, and Python then makes no KeyboardInterrupt of it
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        with Testbed(sim, params, mode=mode) as testbed, ControlSocket(testbed) as socket:
            client, server = testbed.namespaces
            click.echo(f"client side: ip netns exec {client.name} ...   (connect to {Addresses.vip[0]})")
            click.echo(f"server side: ip netns exec {server.name} ...   "
                       + (f"(listen on {Addresses.server})" if mode == "proxy" else f"(connect to {Addresses.vip[1]})"))
            click.echo("control:     spps ctl status | stats | kill active | freeze active | thaw | reprogram FILE")
            click.echo(f"{testbed.speed:.0f} simulated cycles per second; ready")
            while True:
                testbed.turn()
                socket.serve()
    except KeyboardInterrupt:
        click.echo("stopped")


main.add_command(campaign)


@main.command()
@click.argument("words", nargs=-1, required=True)
def ctl(words):
    """Talk to a running `spps live`: status, stats, kill active, freeze active, thaw, reprogram FILE or default."""
    from ..live.control import control
    answer = control(words)
    click.echo(json.dumps(answer, indent=1))
    if "error" in answer:
        sys.exit(1)


@main.command()
@click.option("--preset", default="tiny", show_default=True)
def verilog(preset):
    """Write plain Verilog of one SPPS and of the pair."""
    from spps.gen import main as generate
    generate.main(["--preset", preset], standalone_mode=False)


if __name__ == "__main__":
    main()
