"""A case run again in this process, with captures, a trace and, on demand, a waveform around its failure."""
from dataclasses import replace
from pathlib import Path

from ..backend.verilated import trace_kind
from ..checker.capture import to_frame
from ..trace.window import TraceOptions, TraceWindow
from .case_run import CaseRun
from .fork import in_fork
from .shard import run_case

__all__ = ["replay_case"]

BEFORE = 5000       # cycles of trace and waveform before the failure
EVENTS = 40         # of the trace, before the failure and after it each


def replay_case(case, folder, waves=False, library=""):
    """Run a case; returns its result, see shard.run_case.

    What registers say during the failure is read in forks. With a waveform open nothing may fork, so the case runs
    once in a fork before, and that run's answers are used.

    Parameters
    ----------
    case : Case
        Which.
    folder : Path
        For client.pcapng, server.pcapng, sync.pcapng, trace.txt and the waveform; made if it is not there.
    waves : bool
        Write a waveform, from 5000 cycles before the failure to the end.
    library : str
        Of the pair; default: built now.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    scenario = case.setting.scenario()
    scenario = scenario.with_waves() if waves else replace(scenario, library=library)
    run = CaseRun(case.setting, scenario=scenario)
    run.start()
    run.run_until(max(run.begin, case.cycle - BEFORE))
    if waves:
        run.answers = in_fork(lambda: _answers(run, case))
        run.sim.trace(folder / f"waves.{trace_kind()}")
    window = TraceWindow(run.sim, TraceOptions(events=EVENTS))
    window.open()
    run.run_until(case.cycle)
    result = run_case(run, case)
    window.close()
    if waves:
        run.sim.trace_close()
    run.write_captures(folder)
    if not run.scenario.fake:
        entries, _ = window.entries(case.cycle, [f for raw in run.frames if not raw.err and (f := to_frame(raw))])
        (folder / "trace.txt").write_text("\n".join(entry.text() for entry in entries), encoding="utf-8")
    return result


def _answers(run, case):
    run.run_until(case.cycle)
    run_case(run, case)
    return run.asked
