"""Kill campaigns: the same short transfer, killed at many different cycles.

A run without a kill is learnt first: its length, and which of the eleven data states is present when. Then each
shard runs the transfer once more and forks at every cycle k of its share; the child kills the active unit and runs
the tail, so that a case costs only its tail. The verdict of every case is taken from the peers and from the captures.
"""
import json
import multiprocessing
import os
import random
import statistics
import time
from collections import Counter
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from spps.tools.errors import ToolError
from spps.tools.paths import BUILD

from ..backend.verilated import trace_kind
from ..checker.states import NAMES, NOTE, STATES, DataStates
from .fork import ChildLost, in_fork
from .scenario import Scenario, Trial

__all__ = ["Baseline", "learn", "choose_kills", "run_shard", "replay", "run_campaign"]

SUMMARY = BUILD / "campaign" / "summary.json"


class Baseline:
    """What a run without a kill says.

    Attributes
    ----------
    failures : list of str
        What was wrong with it.
    first, last : int
        The first cycle that is worth a kill, and the first that is not.
    states : DataStates
        Which data state is present when.
    """

    def __init__(self, trial):
        self.failures = trial.failures()
        self.first, self.last = trial.begin, trial.end
        self.states = DataStates(trial.frames, trial.wire, trial.marks)

    def at(self, cycle):
        """Return the data states present in `cycle`, upstream and downstream."""
        return [self.states.at(cycle, direction) for direction in (0, 1)]


def learn(scenario):
    """Run the scenario without a kill; returns its Baseline."""
    trial = Trial(scenario, waves=False)
    trial.start()
    trial.finish()
    return Baseline(trial)


def choose_kills(baseline, cases, seed, states=True):
    """Return the kill cycles in ascending order.

    Parameters
    ----------
    baseline : Baseline
        The run without a kill.
    cases : int, optional
        Number of kills; None: every cycle of the run.
    seed : int
        Of the choice.
    states : bool
        Give each state and direction, as far as it occurs, an equal share of a third of all kills. The rest is spread
        evenly.
    """
    everything = range(baseline.first, baseline.last)
    if cases is None or cases >= len(everything):
        return list(everything)
    rng = random.Random(f"{seed}/kills")
    chosen = set()
    share = max(1, cases // (3 * 2 * len(STATES))) if states else 0
    for direction in (0, 1):
        for state in STATES:
            cycles = [c for c in baseline.states.cycles(state, direction, baseline.first, baseline.last - 1)]
            chosen.update(rng.sample(cycles, min(share, len(cycles))))
    chosen = set(sorted(chosen)[:cases]) if len(chosen) <= cases else set(rng.sample(sorted(chosen), cases))
    rest = cases - len(chosen)
    for i in range(rest):
        low = baseline.first + i * len(everything) // rest
        high = baseline.first + (i + 1) * len(everything) // rest
        chosen.add(rng.randrange(low, max(high, low + 1)))
    while len(chosen) < cases:
        chosen.add(rng.randrange(baseline.first, baseline.last))
    return sorted(chosen)


def _case(trial):
    """Kill now, run to the end and judge; in the child process."""
    unit = trial.kill()
    trial.finish()
    return {"kill": trial.killed[0], "unit": unit, "failures": trial.failures(),
            "takeover_cycles": trial.takeover_cycles(), "cycles": trial.end - trial.killed[0]}


def _lost(kill, why):
    """Return the result of a case that did not come to an end."""
    return {"kill": kill, "unit": None, "failures": [why], "takeover_cycles": None, "cycles": 0}


def _in_child(trial, kill):
    """Return the result of _case from a fork of this process; whatever happens there is the verdict of the case."""
    try:
        return in_fork(lambda: _case(trial))
    except ChildLost as lost:
        return _lost(kill, str(lost))


def run_shard(scenario, kills):
    """Yield the result of each kill cycle. Any executor can run shards, for one needs no other process."""
    trial = Trial(scenario, waves=False)        # forks would write into one waveform
    trial.start()
    for kill in sorted(kills):
        trial.run_until(kill)
        yield _in_child(trial, kill)


def _shard_process(scenario, kills, connection):
    for result in run_shard(scenario, kills):
        connection.send(result)
    connection.close()


def _shard_list(scenario, kills):
    return list(run_shard(scenario, kills))


def _local_results(scenario, shares):
    """Yield the results of shards in local processes, as they come."""
    context = multiprocessing.get_context("spawn")
    running: dict[Connection, BaseProcess] = {}
    try:
        for share in shares:
            reader, writer = context.Pipe(duplex=False)
            process = context.Process(target=_shard_process, args=(scenario, share, writer), daemon=True)
            process.start()
            writer.close()
            running[reader] = process
        while running:
            for reader in wait(list(running)):
                assert isinstance(reader, Connection)
                try:
                    yield reader.recv()
                except EOFError:
                    running.pop(reader).join()
    finally:
        for process in running.values():
            process.terminate()


def _results(scenario, kills, processes, executor):
    shares = [share for n in range(processes) if (share := kills[n::processes])]
    if executor is not None:
        for future in [executor.submit(_shard_list, scenario, share) for share in shares]:
            yield from future.result()
    elif processes == 1:
        yield from run_shard(scenario, kills)
    else:
        yield from _local_results(scenario, shares)


def run_campaign(cases=500, seed=1, *, scenario=None, processes=None, executor=None, out=SUMMARY, console=None,
                 **changes):
    """Kill the active unit at many cycles of a transfer.

    Parameters
    ----------
    cases : int, optional
        Number of kills; None: one at every cycle.
    seed : int
        Of the choice of cycles, and of the default scenario.
    scenario : Scenario, optional
        The transfer; default Scenario(seed=seed, **changes).
    processes : int, optional
        Local processes, or shards of the executor; default one per processor.
    executor : Executor, optional
        Anything with the submit() of concurrent.futures, such as get_executor() of a Dask client.
    out : Path
        File for the summary.
    console : Console, optional
        Where progress and table are printed.

    Returns
    -------
    dict
        The summary.

    Raises
    ------
    ToolError
        When the run without a kill already fails.
    """
    console = console or Console()
    scenario = (scenario or Scenario(seed=seed, **changes)).built()
    processes = processes or os.cpu_count() or 1
    console.print(f"campaign: seed {seed}, {scenario.preset}, faults: {scenario.fault}; "
                  "learning the run without a kill")
    baseline = learn(scenario)
    if baseline.failures:
        raise ToolError("the run without a kill fails: " + "; ".join(baseline.failures[:5]))
    kills = choose_kills(baseline, cases, seed)
    started = time.monotonic()
    results, failed = [], []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("kills", total=len(kills))
        for result in _results(scenario, kills, processes, executor):
            results.append(result)
            if result["failures"]:
                failed.append(result)
                progress.console.print(f"[red]kill at {result['kill']}[/red]: {'; '.join(result['failures'][:3])}\n"
                                       f"  replay: {scenario.replay(result['kill'])}")
            progress.update(task, advance=1, description=f"kills, {len(failed)} failed")
    if len(results) != len(kills):
        failed.append({"kill": None, "failures": [f"{len(kills) - len(results)} cases were lost with their process"]})
    summary = _summary(scenario, baseline, results, failed, len(kills), time.monotonic() - started)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(summary, indent=1) + "\n")
    _print(console, summary)
    return summary


def _summary(scenario, baseline, results, failed, cases, seconds):
    present = [(r, baseline.at(r["kill"])) for r in results]
    states = Counter(s for _, both in present for s in set(both[0]) | set(both[1]))
    by_direction = {name: {str(s): sum(s in both[d] for _, both in present) for s in STATES}
                    for d, name in enumerate(("up", "down"))}
    takeovers = [r["takeover_cycles"] for r in results if r["takeover_cycles"] is not None]
    summary = {
        "cases": cases, "passed": cases - len(failed), "failed": len(failed),
        "states": {str(s): states[s] for s in STATES},
        "states_note": NOTE,
        "states_by_direction": by_direction, "faults": {scenario.fault: cases}, "seed": scenario.seed,
        "preset": scenario.preset,
        "first_cycle": baseline.first, "last_cycle": baseline.last, "cases_per_s": round(cases / max(seconds, 1e-9), 2),
        "failures": [{"kill": r["kill"], "why": r["failures"][:5],
                      **({"replay": scenario.replay(r["kill"])} if r["kill"] is not None else {})}
                     for r in failed[:50]],
    }
    if takeovers:
        summary["takeover_cycles"] = {"median": statistics.median(takeovers), "max": max(takeovers)}
    return summary


def _print(console, summary):
    table = Table(title=f"{summary['passed']} of {summary['cases']} kills passed", caption=NOTE)
    for heading in ("state (§X.B)", "kills", "up", "down", ""):
        table.add_column(heading, justify="left" if heading in ("", "state (§X.B)") else "right", no_wrap=True)
    most = max(*summary["states"].values(), 1)
    for state, name in NAMES.items():
        count, s = summary["states"][str(state)], str(state)
        bar = "█" * -(-16 * count // most) if count else "[red]never hit[/red]"
        up, down = (summary["states_by_direction"][d][s] for d in ("up", "down"))
        table.add_row(f"{state:2} {name}", str(count), str(up), str(down), bar)
    console.print(table)
    takeover = summary.get("takeover_cycles")
    if takeover:
        console.print(f"takeover: median {takeover['median']} cycles, at most {takeover['max']}; "
                      f"{summary['cases_per_s']} cases/s")


def replay(scenario, kill, folder, waves):
    """Run one case in this process, with captures and, on demand, a waveform around the kill; returns its failures.

    Raises ToolError when nothing is connected in cycle `kill`.
    """
    trial = Trial(scenario.with_waves() if waves else scenario, waves=False)
    trial.start()
    if kill < trial.begin:
        raise ToolError(f"kill at cycle {kill}: the transfer begins at cycle {trial.begin}")
    trial.run_until(max(trial.begin, kill - 5000))
    if waves:
        trial.sim.trace(Path(folder) / f"waves.{trace_kind()}")
    if trial.run_until(kill) or trial.sim.cycle < kill:
        raise ToolError(f"kill at cycle {kill}: the transfer is over at cycle {trial.sim.cycle}")
    trial.kill()
    trial.finish()
    if waves:
        trial.sim.trace_close()
    trial.write_captures(folder)
    return trial.failures()
