"""`spps campaign`: kills at many cycles of a short transfer, or failures of every kind crossed with faults."""
import re

import click
from click.core import ParameterSource

from spps.params import PRESETS
from spps.tools.options import COUNT, CYCLES, SEED, ByteCount, CountOrAll, out_option

from ..campaign.campaign import replay, run_campaign
from ..campaign.case import FORM, Case
from ..campaign.scenario import FAULTS, Scenario
from .building import build

__all__ = ["campaign"]

#: options that --all and a replayed case take; the others are of the transfer with --cycles
CROSSED = {"crossed", "cases", "seed", "preset", "processes", "scheduler", "fresh", "out"}
CASE = {"replay_kill", "preset", "waves", "out"}
#: options that only --all takes
ONLY_CROSSED = ("cases", "scheduler", "fresh")


class _Replayed(click.ParamType):
    """A cycle, or the line of a case."""

    name = "case"

    def __init__(self):
        self._cycle = click.IntRange(min=0)

    def get_metavar(self, param, ctx=None):
        """Return what stands for the value in --help."""
        return "CYCLE|CASE"

    def convert(self, value, param, ctx):
        """Return the cycle or the Case, or fail."""
        if isinstance(value, (int, Case)) or ":" not in value:
            return value if isinstance(value, Case) else self._cycle.convert(value, param, ctx)
        try:
            return Case.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Address(click.ParamType):
    """Address of a Dask scheduler."""

    name = "address"

    def convert(self, value, param, ctx):
        """Return the address, or fail."""
        if not re.fullmatch(r"((tcp|tls|ws|wss)://)?[^\s/:]+:\d{1,5}", value):
            self.fail(f"{value!r}: expected HOST:PORT, such as tcp://10.0.0.1:8786", param, ctx)
        return value if "://" in value else f"tcp://{value}"


def _variants(ctx, param, names):
    """Refuse names that no .ifdef of the programs asks for."""
    from spps.ucode.programs import MAIN
    sources = "\n".join(path.read_text(encoding="utf-8") for path in MAIN.parent.glob("*.uasm"))
    known = sorted(set(re.findall(r"^\s*\.ifn?def\s+(\w+)", sources, re.M)))
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r}: expected one of {', '.join(known)}", ctx, param)
    return names


def _refuse(ctx, allowed, what):
    """Refuse options that were given and are none of `allowed`."""
    for param in ctx.command.params:
        if param.name not in allowed and ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{param.opts[-1]}: {what}")


@click.command()
@click.option("--cycles", type=CountOrAll(), default=500, show_default=True,
              help="Number of kill cycles; all: every cycle of the transfer.")
@click.option("--all", "crossed", is_flag=True,
              help="In place of --cycles: failures of units, sync link and peers, with rejoins and double failures, "
                   "crossed with faults of the sync link and kinds of connections. Goes on where it was interrupted.")
@click.option("--cases", type=COUNT, default=10_000, show_default=True, help="With --all: number of cases.")
@click.option("--scheduler", type=_Address(), metavar="ADDRESS",
              help="With --all: a Dask scheduler, HOST:PORT  [default: workers on this machine]")
@click.option("--fresh", is_flag=True, help="With --all: forget the results that are there.")
@click.option("--seed", type=SEED, default=1, show_default=True, help="Of payload, faults and choice of cycles.")
@click.option("--preset", type=click.Choice([*PRESETS, "fake"]), default="tiny", show_default=True,
              help="Sizes of the unit; fake: a model in Python in place of the RTL.")
@click.option("--fault", type=click.Choice(list(FAULTS)), default="none", show_default=True,
              help="Of the links between peers and pair.")
@click.option("--close", type=click.Choice(["client", "server", "both"]), default="client", show_default=True,
              help="Who ends first.")
@click.option("--up", type=ByteCount(0), default=3000, show_default=True, help="Bytes from client to server.")
@click.option("--down", type=ByteCount(0), default=3000, show_default=True, help="Bytes from server to client.")
@click.option("--mss", type=click.IntRange(64, 1460), default=536, show_default=True,
              help="Maximum segment size of peers and pair, bytes.")
@click.option("--timestamps", is_flag=True, help="Peers use TCP timestamps.")
@click.option("--sack", is_flag=True, help="Peers use SACK.")
@click.option("--wscale", type=click.IntRange(0, 14),
              help="Number of bits by which peers and pair scale their windows  [default: no window scale]")
@click.option("--half-close", is_flag=True,
              help="The side that ends last sends half of its bytes after the FIN of the other one.")
@click.option("--latency", type=CYCLES, default=100, show_default=True, help="Of each link, cycles.")
@click.option("--tick", type=CYCLES, default=100, show_default=True, help="Cycles of a timer tick of the pair.")
@click.option("-D", "--define", "defines", multiple=True, metavar="NAME", callback=_variants,
              help="Variant of the microcode, e.g. CUBIC; may be repeated.")
@click.option("--msl", type=CYCLES, default=20_000, show_default=True,
              help="Half of TIME-WAIT, of peers and pair, cycles.")
@click.option("--limit", type=CYCLES, default=3_000_000, show_default=True, help="Cycles that a case may take.")
@click.option("--processes", type=COUNT, help="Number of local processes  [default: one per processor]")
@click.option("--replay", "replay_kill", type=_Replayed(),
              help=f"Run one case alone, with captures: the kill at this cycle, or a case of --all, {FORM}.")
@click.option("--waves", is_flag=True, help="With --replay: also write a waveform, 10 ns a cycle.")
@out_option("campaign/summary.json",
            "File for the summary; beside it go all.sqlite and index.html of --all, and captures of a replay.",
            file=True)
@click.pass_context
def campaign(ctx, cycles, crossed, cases, scheduler, fresh, seed, processes, replay_kill, waves, out, **values):
    """Kill the active unit at many cycles of a transfer.

    Every connection must survive, whatever the cycle; the exit code is 0 when all do. A case that fails prints the
    command that repeats it. With --all, what must hold depends on what fails; index.html beside the summary says it.
    """
    preset = values["preset"]
    if waves and (replay_kill is None or preset == "fake"):
        raise click.UsageError("--waves: expected --replay CYCLE and a preset with RTL beside it")
    if preset == "fake" and values["defines"]:
        raise click.UsageError("--define: the fake pair has no microcode; expected another preset")
    if crossed:
        _refuse(ctx, CROSSED, "not with --all, whose connections and faults are in a table")
        ctx.exit(_run_crossed(cases, seed, preset, processes, scheduler, fresh, out))
    _refuse(ctx, {param.name for param in ctx.command.params} - set(ONLY_CROSSED), "expected --all beside it")
    if isinstance(replay_kill, Case):
        _refuse(ctx, CASE, "not with --replay CASE, which says all of it")
        ctx.exit(_replay_case(replay_kill, preset, waves, out))
    scenario = Scenario(seed=seed, **values)
    if not scenario.fake:
        build(PRESETS[scenario.preset], "fst" if waves else "")
    if replay_kill is not None:
        folder = out.parent / f"replay_{replay_kill}"
        ctx.exit(_said(replay(scenario, replay_kill, folder, waves), folder, waves))
    summary = run_campaign(cycles, seed, scenario=scenario, processes=processes, out=out)
    ctx.exit(bool(summary["failed"]))


def _said(failures, folder, waves):
    """Print the verdict of one case; returns whether it failed."""
    click.echo("\n".join(failures) or "pass")
    click.echo(f"captures{' and waves' if waves else ''} are in {folder}")
    return bool(failures)


def _run_crossed(cases, seed, preset, processes, scheduler, fresh, out):
    import os

    import distributed  # noqa: F401    what is missing is said before anything is made
    import matplotlib  # noqa: F401

    from ..campaign.crossed import run_crossed
    if scheduler and processes:
        raise click.UsageError("--processes: not with --scheduler, whose workers are what they are")
    summary = run_crossed(cases, seed, out=out, preset=preset, library=lambda: _library(preset), fresh=fresh,
                          scheduler=scheduler or "", processes=processes or os.cpu_count() or 1)
    return bool(summary["failed"])


def _library(preset, waves=""):
    """Build the simulation of a preset unless it is there; returns its path, or "" for the fake pair."""
    if preset == "fake":
        return ""
    build(PRESETS[preset], waves)
    return Scenario(preset=preset, waves=waves).built().library


def _replay_case(case, preset, waves, out):
    from ..campaign.replay import replay_case
    case = Case.parse(case.line, preset)
    library = _library(preset, "fst" if waves else "")
    folder = out.parent / f"replay_{case.line.replace(':', '_')}"
    result = replay_case(case, folder, waves, library)
    click.echo(f"{case.line}: {result['outcome']}; {', '.join(f'{name} {n}' for name, n in result['notes'].items())}")
    return _said(result["failures"], folder, waves)
