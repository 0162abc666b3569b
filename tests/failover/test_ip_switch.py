"""The IP switch under both simulators."""

import pytest
from spps.failover import IpSwitch
from spps.params import TINY
from spps_sim.testbench.runner import run_bench, simulations


@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_ip_switch(simulator, width):
    run_bench(IpSwitch(TINY.replace(data_width=width)), "tests.failover.bench_ip_switch", name="ip_switch", simulator=simulator, parameters={"width": width})
