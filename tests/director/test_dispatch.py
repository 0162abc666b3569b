"""The path from an event to its first instruction, as `make bench` measures it."""
import pytest
from spps_sim.measure import dispatch


def test_a_resident_flow_waits_for_neither_its_flowstate_nor_its_write_back():
    clocks = dispatch.measure()
    assert clocks["resident"] < clocks["written_back"] < clocks["loaded"]


def test_a_core_that_never_answers_ends_the_measurement(monkeypatch):
    monkeypatch.setattr(dispatch, "PROGRAM", "loop: jmp loop")
    monkeypatch.setattr(dispatch, "_PATIENCE", 200)
    with pytest.raises(RuntimeError, match="valid: low for 200 clocks"):
        dispatch.measure()
