"""The IP switch under both simulators."""

import pytest

from spps.failover import IpSwitch
from spps.params import TINY
from spps_sim.testbench.runner import run_bench, simulations


@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_ip_switch(simulator, width):
    run_bench(IpSwitch(TINY.replace(data_width=width)), "tests.failover.bench_ip_switch", name="ip_switch",
              simulator=simulator, parameters={"width": width})


def test_refuses_a_patience_of_no_clock():
    with pytest.raises(ValueError, match="patience=0: must be at least 1"):
        IpSwitch(TINY, patience=0)
