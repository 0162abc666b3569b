"""The RTL pair with the Python peers: transfers without a kill, and the kill sweep from SYN to the end of TIME-WAIT."""
import pytest
from rich.console import Console

from spps_sim.campaign.campaign import learn, run_campaign
from spps_sim.campaign.scenario import Scenario
from spps_sim.checker.states import STATES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("close", ["client", "server", "both"])
@pytest.mark.parametrize("fault", ["none", "mixed"])
def test_a_transfer_through_the_pair_ends_clean(close, fault):
    baseline = learn(Scenario(close=close, fault=fault, limit=1_500_000))
    assert baseline.failures == []
    if fault == "none":
        assert all(baseline.states.intervals[direction, state] for direction in (0, 1) for state in STATES)


# A sample: `make campaign` kills at 500 cycles.
@pytest.mark.parametrize("kills, changes", [
    (200, {}), (20, {"close": "server"}), (20, {"close": "both"}), (20, {"fault": "mixed"}), (20, {"timestamps": True}),
    (10, {"fault": "mixed", "msl": 60_000, "timestamps": True, "defines": ("CUBIC",)}),
], ids=["all-states", "server-closes", "both-close", "faulty-links", "time-stamps", "cubic"])
def test_connections_survive_a_kill_at_any_cycle(kills, changes, tmp_path):
    scenario = Scenario(limit=1_500_000, **changes)
    summary = run_campaign(kills, 2, scenario=scenario, out=tmp_path / "summary.json", console=Console(quiet=True))
    assert summary["failed"] == 0, summary["failures"]
    assert summary["cases"] == kills
    if not changes:
        print({state: summary["states"][str(state)] for state in STATES})
        assert all(summary["states"][str(state)] for state in STATES), summary["states"]
