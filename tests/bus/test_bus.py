"""Message bus against its model."""

import pytest

from spps.bus import MessageBus
from spps.params import TINY
from spps_sim.testbench.runner import run_bench, simulations


@pytest.mark.parametrize("clusters, simulator", simulations((1, 2, 3), 2))
def test_message_bus_agrees_with_model(clusters, simulator):
    run_bench(MessageBus(TINY.replace(clusters=clusters, pool_pages=(512, 128, 128, 128))), "tests.bus.bench_bus",
              name=f"message_bus_{clusters}", simulator=simulator, parameters={"clusters": clusters})
