"""Flow director against its model."""

import pytest

from spps.director import FlowDirector
from spps.params import TINY
from spps_sim.testbench.runner import run_bench, simulations

SIZES = {"tiny": TINY, "one": TINY.replace(cores=1, workspaces=2, event_slots=2),
         "clusters": TINY.replace(clusters=2, cores=3, workspaces=2, event_slots=4, pool_pages=(512, 128, 128, 128))}


@pytest.mark.parametrize("size, simulator", simulations(SIZES, "clusters"))
def test_flow_director_agrees_with_model(size, simulator):
    params = SIZES[size]
    run_bench(FlowDirector(params), "tests.director.bench_director", name=f"flow_director_{size}", simulator=simulator,
              parameters={k: getattr(params, k)
                          for k in ("connections", "clusters", "cores", "workspaces", "event_slots")})
