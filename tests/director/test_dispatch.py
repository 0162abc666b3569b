"""The path from an event to its first instruction, as `make bench` measures it, and as the READMEs say."""
import re
from pathlib import Path

import pytest

from spps_sim.measure import dispatch

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def clocks():
    return dispatch.measure()


def test_a_resident_flow_waits_for_neither_its_flowstate_nor_its_write_back(clocks):
    assert clocks["resident"] < clocks["written_back"] < clocks["loaded"]


def test_readme_of_the_director_has_the_clocks_that_are_measured(clocks):
    text = (ROOT / "hdl/spps/director/README.md").read_text()
    said = {kind: int(value) for kind, value in re.findall(r"^\| (resident|loaded|new)[^|]*\| (\d+) \|$", text, re.M)}
    said["written_back"] = int(re.search(r"write-back \((\d+) clocks for two lines\)", text)[1])
    assert said == clocks


def test_readme_of_the_project_has_the_clocks_that_are_measured(clocks):
    row = re.search(r"^\|[^|]*resident[^|]*/ loaded / new \| (\d+) / (\d+) / (\d+) clocks \|",
                    (ROOT / "README.md").read_text(), re.M)
    assert [int(value) for value in row.groups()] == [clocks[kind] for kind in ("resident", "loaded", "new")]


def test_a_core_that_never_answers_ends_the_measurement(monkeypatch):
    monkeypatch.setattr(dispatch, "PROGRAM", "loop: jmp loop")
    monkeypatch.setattr(dispatch, "_PATIENCE", 200)
    with pytest.raises(RuntimeError, match="valid: low for 200 clocks"):
        dispatch.measure()
