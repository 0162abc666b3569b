"""The RTL pair with the Python peers: a transfer without a kill, and a small campaign that meets all eleven states."""
import pytest
from rich.console import Console
from spps_sim.campaign import learn, run_campaign
from spps_sim.scenario import Scenario
from spps_sim.states import STATES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("close", ["client", "server", "both"])
@pytest.mark.parametrize("fault", ["none", "mixed"])
def test_a_transfer_through_the_pair_ends_clean(close, fault):
    lesson = learn(Scenario(close=close, fault=fault, limit=1_500_000))
    assert lesson.failures == []
    if fault == "none":
        assert all(lesson.states.intervals[direction, state] for direction in (0, 1) for state in STATES)


def test_connections_survive_kills_in_all_eleven_states(tmp_path):
    summary = run_campaign(66, 2, out=tmp_path / "summary.json", console=Console(quiet=True), limit=1_000_000)
    assert summary["failed"] == 0, summary["failures"]
    assert all(summary["states"][str(state)] for state in STATES), summary["states"]
