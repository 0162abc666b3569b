"""Events as the cores of the functional pair get them in a transfer, with what they read: for replay on the RTL."""
from typing import NamedTuple

from spps.layouts.config import CONFIG
from spps.ucode.isa import CSRS
from spps_sim.model.tcp_scenarios import Transfer

__all__ = ["Recorded", "record"]


class Recorded(NamedTuple):
    """csr: values by name. words: the event. flowstate: before it, None for an event without flow."""
    csr: dict
    words: list
    flowstate: list | None


def record(*, kill_at=None, **transfer):
    """(configuration, [Recorded]) of both units of a Transfer; the active unit dies after its event `kill_at`."""
    run = Transfer(**transfer)
    seen = []
    for unit in run.pair.units:
        for core in unit.cores:
            def watched(words, workspace, unit=unit, core=core, run=core.run_event, **options):
                csr = {name: unit.csr(name) for name in CSRS if name != "event_conn"}
                seen.append(Recorded(csr, list(words), None if words[1] >> 18 & 1 else core.workspace(workspace)))
                return run(words, workspace, **options)
            core.run_event = watched
    if kill_at:
        run.pair.kill_at = kill_at, "lost"
    run.run().check()
    return [run.pair.units[0].config[c.name] for c in CONFIG], seen
