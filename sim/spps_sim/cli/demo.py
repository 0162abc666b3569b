"""`spps demo`: real TCP transfers through a pair whose active unit dies."""
import sys
from pathlib import Path

import click

from .building import simulation

__all__ = ["demo"]


@click.command()
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
    sim, params = simulation(preset or ("duo" if reprogram else "tiny"), "fst" if waves else "")
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
