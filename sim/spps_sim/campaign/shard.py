"""A shard: one run of a Setting, forked at the cycle of each of its cases, so that a case costs only its tail.

`python -m spps_sim.campaign.shard` runs one shard in a process of its own, with one thread: it reads a request from
standard input, a line of JSON, and prints a line of JSON for each result. `pool` starts it, on this machine or on
workers of a cluster.
"""
import json
import sys
from dataclasses import replace
from pathlib import Path

from spps.tools.paths import exclusive

from ..checker.states import DataStates
from .case import Case
from .case_run import CaseRun
from .failures import FAILURES
from .fork import ChildLost, in_fork, threads
from .plan import Phases
from .variants import Setting

__all__ = ["learn", "lost_case", "main", "run_case", "run_shard"]


def _scenario(setting, library):
    """Return the Scenario of a setting, with `library` if that file is there, else with one that is built now."""
    scenario = setting.scenario()
    if library and Path(library).exists():
        return replace(scenario, library=library)
    with exclusive("pair_plain"):       # shards on a machine of a cluster build it once
        return scenario.built()


def learn(setting, library=""):
    """Run a setting without a failure; returns its Phases.

    Raises
    ------
    ValueError
        When no connection was opened, so that there is nothing to learn.
    """
    run = CaseRun(setting, scenario=_scenario(setting, library))
    run.start()
    run.finish()
    closing = [time for c in (run.connection, *run.accepted()) for time, what in c.history if what == "time_wait"]
    if not closing:
        raise ValueError(f"{setting}: no connection came to TIME-WAIT: {'; '.join(run.failures()[:3])}")
    states = DataStates(run.frames, run.wire, run.marks)
    intervals = {f"{direction}/{state}": spans for (direction, state), spans in states.intervals.items()}
    return Phases(run.begin, min(closing), run.end, intervals)


def run_case(run, case):
    """Let the failure of a case happen to `run`, which is in its cycle, and return the result as a dict."""
    run.begin_case(case)
    FAILURES[case.failure].act(run)
    run.finish()
    failures = run.failures()
    return {"line": case.line, "failures": failures, "demand": "survive" if run.survives() else "may end",
            "outcome": _outcome(run), "protected": int(all(said["protected"] for said in run.promises)),
            "takeover_cycles": run.takeover_cycles(), "stalls": run.stalls(), "cycles": run.end - case.cycle,
            "notes": run.notes}


def _outcome(run):
    """Return "survived" when both peers have everything, else what ended the connection of the first that has not."""
    for name, connection, expected in run.live():
        if bytes(connection.received) != expected or not connection.fin_taken:
            ended = [what for what in ("reset", "refused", "timeout", "reset_half_open") if connection.was(what)]
            return f"{name}: {ended[0] if ended else 'waits'}"
    return "survived" if run.live() and not run.gone else "the other peer is gone"


def lost_case(case, why):
    """Return the result of a case that did not come to an end."""
    return {"line": case.line, "failures": [why], "demand": "", "outcome": "lost", "protected": None,
            "takeover_cycles": None, "stalls": {}, "cycles": 0, "notes": {}}


def run_shard(setting, cases, library=""):
    """Yield the result of each case of a setting, in order of their cycles."""
    run = CaseRun(setting, scenario=_scenario(setting, library))
    run.start()
    for case in sorted(cases, key=lambda case: (case.cycle, case.failure)):
        run.run_until(case.cycle)
        try:
            yield in_fork(lambda case=case: run_case(run, case))
        except ChildLost as lost:
            yield lost_case(case, str(lost))


def main(source=sys.stdin, sink=sys.stdout):
    """Run one shard.

    The request is {"setting": [variant, link, seed, preset], "library": path, "cases": [line, ...]}; without cases the
    run is learnt. A line that is printed is {"threads": n} first, then {"phases": ...} or the results.

    Raises
    ------
    RuntimeError
        When this process has more than one thread.
    """
    if (count := threads()) > 1:
        raise RuntimeError(f"a process with {count} threads must not fork")
    request = json.loads(source.readline())
    setting = Setting(*request["setting"])
    print(json.dumps({"threads": count}), file=sink, flush=True)
    if "cases" not in request:
        print(json.dumps({"phases": learn(setting, request["library"]).to_json()}), file=sink, flush=True)
        return
    cases = [Case.parse(line, setting.preset) for line in request["cases"]]
    for result in run_shard(setting, cases, request["library"]):
        print(json.dumps(result), file=sink, flush=True)


if __name__ == "__main__":
    main()
