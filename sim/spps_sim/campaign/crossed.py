"""`spps campaign --all`: cases of crossed faults, on workers, into SQLite, with a summary and a page."""
import itertools
import json
import random
import time
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from .case import Case
from .page import write_page
from .plan import Phases, plan, settings
from .pool import Pool
from .shard import lost_case
from .store import Store
from .summary import summarize
from .tree import sources_digest, tree_name
from .variants import Setting

__all__ = ["run_crossed"]

SHARD = 24          # cases of a shard: what is lost when a run is interrupted, for each process


def _request(setting, library, cases=None):
    request = {"setting": [setting.variant, setting.link, setting.seed, setting.preset], "library": library}
    return request if cases is None else request | {"cases": [case.line for case in cases]}


def _shards(todo, seed):
    """Return the cases as lists of one setting each, neighbours in time together, in a random order.

    So a campaign that was interrupted has some of everything.
    """
    shards = []
    for _, group in itertools.groupby(sorted(todo), key=lambda case: case.setting):
        cases = sorted(group, key=lambda case: case.cycle)
        shards += [cases[at:at + SHARD] for at in range(0, len(cases), SHARD)]
    random.Random(f"{seed}/shards").shuffle(shards)
    return shards


def _learn(pool, wanted, store, library, progress):
    """Return the phases of all `wanted` settings; those that are not in the store are learnt."""
    known = store.phases()
    missing = [setting for setting in wanted if setting not in known]
    if missing:
        task = progress.add_task("runs without a failure", total=len(missing))
        for request, lines in pool.run([_request(setting, library) for setting in missing]):
            setting = Setting(*request["setting"])
            if "phases" not in lines[-1]:
                raise RuntimeError(f"{setting}: {lines[-1].get('lost')}")
            known[setting] = Phases.from_json(lines[-1]["phases"])
            store.learnt(setting, known[setting])
            progress.update(task, advance=1)
        progress.remove_task(task)
    return {setting: known[setting] for setting in wanted}


def _results(request, lines):
    """Yield (case, result) of the lines of a shard; a case without a line was lost with its process."""
    found = {line["line"]: line for line in lines if "line" in line}
    why = next((line["lost"] for line in lines if "lost" in line), "the shard ended without a result")
    setting = Setting(*request["setting"])
    for line in request["cases"]:
        case = Case.parse(line, setting.preset)
        yield case, found.get(line) or lost_case(case, why)


def _run(workers, planned, store, library, progress, seed):
    """Run those of the planned cases that are not in the store yet."""
    phases, done = store.phases(), store.lines()
    todo = [case for case in planned if case.line not in done]
    if len(todo) < len(planned):
        progress.console.print(f"{len(planned) - len(todo)} cases are in {store.path} already")
    run, started, ran, failed = store.begin(seed, len(planned)), time.monotonic(), 0, 0
    task = progress.add_task("cases", total=len(planned), completed=len(planned) - len(todo))
    try:
        requests = [_request(shard[0].setting, library, shard) for shard in _shards(todo, seed)]
        for request, lines in workers.run(requests):
            results = list(_results(request, lines))
            store.add(run, results, phases)
            ran += len(results)
            for case, result in results:
                if result["failures"]:
                    failed += 1
                    progress.console.print(f"[red]{case.line}[/red] {'; '.join(result['failures'][:2])}",
                                           soft_wrap=True, highlight=False)
            progress.update(task, advance=len(results), description=f"cases, {failed} failed")
    finally:
        store.end(run, time.monotonic() - started, ran)


def run_crossed(cases=10_000, seed=1, *, out, preset="tiny", library=lambda: "", processes=1, scheduler="", fresh=False,
                pool=None, console=None):
    """Run the cases of a campaign that are not in its file yet.

    Parameters
    ----------
    cases : int
        Number of cases of the campaign.
    seed : int
        Of their choice, and of everything in them.
    out : Path
        File for the summary; beside it all.sqlite and index.html.
    preset : str
        Of the pair; "fake" without RTL.
    library : callable
        Returns the path of the library, built when it is called; "" lets each shard look for it.
    processes, scheduler
        See Pool.
    fresh : bool
        Forget what is in the file.
    pool : Pool, optional
        Where shards run; default: workers of Dask.
    console : Console, optional
        Where progress is shown.

    Returns
    -------
    dict
        The summary.

    Raises
    ------
    ToolError
        When the file belongs to other sources, or the scheduler does not answer.
    """
    console = console or Console()
    out = Path(out)
    tree, sources = tree_name(), sources_digest(preset)
    store = Store(out.parent / "all.sqlite", tree, sources, preset, fresh=fresh)
    wanted = settings(cases, seed, preset)
    console.print(f"campaign: {cases} cases, seed {seed}, preset {preset}, tree {tree}, {len(wanted)} settings")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())
    planned: list[Case] = []
    try:
        with pool or Pool(processes, scheduler, sources) as workers:
            built = library()
            with Progress(*columns, console=console) as progress:
                planned += plan(_learn(workers, wanted, store, built, progress), cases, seed)
                _run(workers, planned, store, built, progress, seed)
    finally:                    # an interrupted campaign shows what it has
        if planned:
            lines = {case.line for case in planned}
            summary = summarize(store, lines, seed, preset, tree)
            out.write_text(json.dumps(summary, indent=1) + "\n")
            write_page(out.parent / "index.html", summary, store.rows(lines))
            _print(console, summary, out)
        store.close()
    return summary


def _print(console, summary, out):
    found, of = summary["crossed"]["found"], summary["crossed"]["of"]
    console.print(f"{summary['passed']} of {summary['cases']} cases passed; {found} of {of} combinations of state, "
                  f"failure and link fault; {summary['rejoins']} rejoins, {summary['double_failures']} double "
                  f"failures; {summary.get('cases_per_s', '-')} cases/s", soft_wrap=True)
    for failure in summary["failures"][:10]:
        console.print(f"[red]{failure['case']}[/red] {'; '.join(failure['why'][:2])}\n  replay: {failure['replay']}",
                      soft_wrap=True, highlight=False)
    console.print(f"{out.parent / 'index.html'} shows them, {out.parent / 'all.sqlite'} has them", soft_wrap=True)
