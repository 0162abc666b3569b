"""The faulty sync link under both simulators, and what Python says of it."""
import pytest

from spps.failover import FaultyLink, LinkControl
from spps.failover.faulty_link import SHARES
from spps_sim.backend.interface import SyncFaults
from spps_sim.testbench.runner import run_bench, simulations


@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_faulty_link(simulator, width):
    run_bench(FaultyLink(width), "tests.failover.bench_faulty_link", name="faulty_link", simulator=simulator,
              parameters={"width": width})


def test_faults_of_python_are_fields_of_the_control_word():
    control = SyncFaults(loss=0.5, cut=True, delay=300, seed=7).control()
    assert set(control) == {name for name, _ in LinkControl.as_shape()}
    assert control["loss"] == 128 and control["delay"] == 300 and control["enable"] == 1
    assert not any(SyncFaults(**{name: 0.0}).control()["enable"] for name in SHARES)
    for name in SHARES:
        assert SyncFaults(**{name: 1.0}).control()[name] == 255
        assert SyncFaults(**{name: 0.1}).control()["enable"] == 1


@pytest.mark.parametrize("bad, said", [
    ({"loss": 1.5}, "loss=1.5: must be a share from 0 to 1"), ({"replay": -0.1}, "replay=-0.1"),
    ({"delay": 1 << 16}, "delay=65536: must be from 0 to 65535"), ({"seed": -1}, "seed=-1"),
])
def test_refuses_faults_that_the_link_cannot_have(bad, said):
    with pytest.raises(ValueError, match=said):
        SyncFaults(**bad)
