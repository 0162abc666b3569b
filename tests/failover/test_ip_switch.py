"""The IP switch under both simulators."""
from pathlib import Path

import pytest
from spps.failover import IpSwitch
from spps.params import TINY
from spps_sim.harness import SIMULATORS, run_bench


@pytest.mark.parametrize("width", (32, 64, 128))
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_ip_switch(simulator, width):
    run_bench(IpSwitch(TINY.replace(data_width=width)), "bench_ip_switch", name="ip_switch", simulator=simulator,
              test_dir=Path(__file__).parent, parameters={"width": width})
