"""A sample of `spps campaign --all` on the RTL pair, on workers of Dask, in a minute or two."""
import io
import sqlite3
from collections import Counter

import pytest
from rich.console import Console

from spps_sim.campaign.crossed import run_crossed
from spps_sim.campaign.failures import FAILURES
from spps_sim.campaign.scenario import Scenario
from spps_sim.campaign.variants import LINKS
from spps_sim.checker.states import STATES

pytestmark = [pytest.mark.slow, pytest.mark.rtl]

CASES, SEED = 80, 1


def test_a_sample_of_all_failures_and_faults_passes(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    library = Scenario().built().library
    summary = run_crossed(CASES, SEED, out=tmp_path / "summary.json", library=lambda: library, processes=2,
                          console=console)
    assert summary["failed"] == 0, summary["failures"]
    assert summary["cases"] == CASES and summary["double_failures"] and summary["rejoins"]
    assert summary["stops"]["not_told"] >= summary["stops"]["told"] > 0, summary["stops"]
    assert all(summary["what_fails"][name] for name in FAILURES), summary["what_fails"]
    assert all(summary["faults"][link] for link in LINKS), summary["faults"]
    assert all(summary["states"][str(state)] for state in STATES), summary["states"]
    with sqlite3.connect(tmp_path / "all.sqlite") as db:
        demands = Counter(demand for demand, in db.execute("SELECT demand FROM cases"))
        survived, = db.execute("SELECT count(*) FROM cases WHERE demand || outcome = 'survivesurvived'").fetchone()
    print(summary["cases_per_s"], demands)
    assert survived == demands["survive"] > CASES / 2
