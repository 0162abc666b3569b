"""`spps demo`: real TCP transfers through a pair whose active unit dies."""
import click

from spps.params import PRESETS
from spps.tools.options import COUNT, SEED, ByteCount, out_option, preset_option

from .building import checked_connections, simulation

__all__ = ["demo"]


def _endpoints(wanted, netem):
    """Return "linux" or "python". Raises MissingPrivilege when Linux sockets or netem are wanted and not permitted."""
    from ..network.namespaces import MissingPrivilege, Namespace, require_privilege
    if wanted == "python":
        return wanted
    try:
        require_privilege()
    except MissingPrivilege as reason:
        if wanted == "linux" or netem:
            raise
        click.echo(f"no TAP devices ({reason}): the Python TCP endpoint takes the place of Linux sockets")
        return "python"
    if netem:
        with Namespace("probe", "10.77.0.1/24") as probe:
            probe.netem(*netem)
    return "linux"


@click.command()
@click.option("--seed", type=SEED, help="Repeats a run: cycle of the kill and payload  [default: drawn and printed]")
@preset_option(default=None, text="Sizes of the unit  [default: live; duo with --reprogram]")
@click.option("--connections", type=COUNT, default=4, show_default=True,
              help="Number of TCP connections, at most what the preset holds.")
@click.option("--bytes", "size", type=ByteCount(), default=1 << 20, show_default=True,
              help="Bytes each way of each connection; 64k and 1M are understood.")
@out_option("demo", "Folder for summary.json, captures and report.html.")
@click.option("--endpoints", type=click.Choice(["auto", "linux", "python"]), default="auto", show_default=True,
              help="Linux sockets behind TAP devices, or Python TCP in simulated time; auto takes Python where TAP "
                   "devices are not permitted.")
@click.option("--netem", default="", metavar="ARGUMENTS",
              help="What tc-netem(8) does to both networks, both ways: 'loss 2% duplicate 1%'. Linux endpoints only.")
@click.option("--waves", is_flag=True,
              help="Also write OUT/demo.fst (demo.vcd without lz4.h): from 5000 cycles before the kill to 5000 after "
                   "the takeover, 10 ns a cycle. Needs a build of its own.")
@click.option("--reprogram", is_flag=True,
              help="Also swap the program of both units under traffic, for the one without fast paths; needs a preset "
                   "with two clusters or more.")
@click.pass_context
def demo(ctx, seed, preset, connections, size, out, endpoints, netem, waves, reprogram):
    """Real TCP transfers through a pair; the active unit dies.

    The exit code is 0 when every connection survives and every byte arrives.
    """
    preset = preset or ("duo" if reprogram else "live")
    checked_connections(connections, preset)
    if reprogram and PRESETS[preset].clusters < 2:
        able = ", ".join(name for name, params in PRESETS.items() if params.clusters > 1)
        raise click.UsageError(f"--reprogram: preset {preset} has one cluster; expected one with two or more: {able}")
    if netem and endpoints == "python":
        raise click.UsageError("--netem: Python endpoints meet no kernel; expected --endpoints linux or auto")
    from ..demo.linux import run_demo
    from ..demo.python import run_python_demo
    endpoints = _endpoints(endpoints, netem.split())
    sim, params = simulation(preset, "fst" if waves else "")
    arguments = {"seed": seed, "connections": connections, "size": size, "out": out, "waves": waves}
    if reprogram:
        from spps.ucode.programs import default_image
        arguments["image"] = default_image(("NO_FAST",), params.imem_words, params.connections)
    if endpoints == "python":
        summary = run_python_demo(sim, params, **arguments)
    else:
        summary = run_demo(lambda: sim, params, netem=tuple(netem.split()), **arguments)
    ctx.exit(summary["verdict"] != "pass")
