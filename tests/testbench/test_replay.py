"""Where the waveform of a native simulation goes, and when there is one."""
import pytest

from spps.tools.paths import BUILD
from spps_sim.campaign.scenario import Scenario, Trial


class Recorder:
    """In place of a Simulation: what was asked of its waveform."""

    def __init__(self, scenario):
        self.kind, self.path = scenario.waves, None

    def trace(self, path):
        self.path = path

    def trace_close(self):
        pass


@pytest.fixture
def trial(monkeypatch):
    monkeypatch.setattr(Scenario, "simulation", lambda scenario: Recorder(scenario))
    return Trial


def test_a_trial_records_its_run_when_waves_are_asked_for(trial, monkeypatch, request):
    monkeypatch.setenv("SPPS_WAVES", "1")
    first, second = trial(Scenario(library="built without")).sim, trial(Scenario()).sim
    assert first.kind == second.kind == "fst" and first.path.parent == second.path.parent != BUILD / "native"
    assert first.path.parent.parent == BUILD / "native" and request.node.name in first.path.parent.name
    assert first.path.stem == "waves" and second.path.stem == "waves_1"


@pytest.mark.parametrize("wanted, scenario, waves", [
    ("0", Scenario(), None), ("", Scenario(), None), ("1", Scenario(), False), ("1", Scenario(preset="fake"), None)])
def test_no_waveform_otherwise(trial, monkeypatch, wanted, scenario, waves):
    monkeypatch.setenv("SPPS_WAVES", wanted)
    assert trial(scenario, waves=waves).sim.path is None
