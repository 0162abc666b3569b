"""`spps campaign`: kills at many cycles of a short transfer."""
import re

import click

from spps.params import PRESETS
from spps.tools.options import COUNT, CYCLES, SEED, ByteCount, CountOrAll, out_option

from ..campaign.campaign import replay, run_campaign
from ..campaign.scenario import FAULTS, Scenario
from .building import build

__all__ = ["campaign"]


def _variants(ctx, param, names):
    """Refuse names that no .ifdef of the programs asks for."""
    from spps.ucode.programs import MAIN
    sources = "\n".join(path.read_text(encoding="utf-8") for path in MAIN.parent.glob("*.uasm"))
    known = sorted(set(re.findall(r"^\s*\.ifn?def\s+(\w+)", sources, re.M)))
    for name in names:
        if name not in known:
            raise click.BadParameter(f"{name!r}: expected one of {', '.join(known)}", ctx, param)
    return names


@click.command()
@click.option("--cycles", type=CountOrAll(), default=500, show_default=True,
              help="Number of kill cycles; all: every cycle of the transfer.")
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
@click.option("--latency", type=CYCLES, default=100, show_default=True, help="Of each link, cycles.")
@click.option("--tick", type=CYCLES, default=100, show_default=True, help="Cycles of a timer tick of the pair.")
@click.option("-D", "--define", "defines", multiple=True, metavar="NAME", callback=_variants,
              help="Variant of the microcode, e.g. CUBIC; may be repeated.")
@click.option("--msl", type=CYCLES, default=20_000, show_default=True,
              help="Half of TIME-WAIT, of peers and pair, cycles.")
@click.option("--limit", type=CYCLES, default=3_000_000, show_default=True, help="Cycles that a case may take.")
@click.option("--processes", type=COUNT, help="Number of local processes  [default: one per processor]")
@click.option("--replay", "replay_kill", type=click.IntRange(min=0), metavar="CYCLE",
              help="Run the case of this kill cycle alone, with captures.")
@click.option("--waves", is_flag=True, help="With --replay: also write a waveform, 10 ns a cycle.")
@out_option("campaign/summary.json", "File for the summary; the captures of a replay go beside it.", file=True)
@click.pass_context
def campaign(ctx, cycles, seed, processes, replay_kill, waves, out, **values):
    """Kill the active unit at many cycles of a transfer.

    Every connection must survive, whatever the cycle; the exit code is 0 when all do. A case that fails prints the
    command that repeats it.
    """
    if waves and (replay_kill is None or values["preset"] == "fake"):
        raise click.UsageError("--waves: expected --replay CYCLE and a preset with RTL beside it")
    if values["preset"] == "fake" and values["defines"]:
        raise click.UsageError("--define: the fake pair has no microcode; expected another preset")
    scenario = Scenario(seed=seed, **values)
    if not scenario.fake:
        build(PRESETS[scenario.preset], "fst" if waves else "")
    if replay_kill is not None:
        folder = out.parent / f"replay_{replay_kill}"
        failures = replay(scenario, replay_kill, folder, waves)
        click.echo("\n".join(failures) or "pass")
        click.echo(f"captures{' and waves' if waves else ''} are in {folder}")
        ctx.exit(bool(failures))
    summary = run_campaign(cycles, seed, scenario=scenario, processes=processes, out=out)
    ctx.exit(bool(summary["failed"]))
