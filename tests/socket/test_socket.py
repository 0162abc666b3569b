"""Socket memory controller against its model, under both simulators and at every width, on chip and with external memory."""
from pathlib import Path

import pytest

from spps.socket import SocketMemoryController
from spps_sim.harness import SIMULATORS, run_bench

import sizes

HERE = Path(__file__).parent


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("width", (32, 64, 128))
def test_socket_memory_agrees_with_model(width, simulator):
    run_bench(SocketMemoryController(sizes.params(width)), "bench_socket", name=f"socket_{width}", simulator=simulator, test_dir=HERE,
              parameters={"width": width})


@pytest.mark.parametrize("simulator", ("icarus",))
@pytest.mark.parametrize("width", (64, 128))
def test_external_memory_agrees_with_model(width, simulator):
    run_bench(SocketMemoryController(sizes.params(width, axi=1)), "bench_socket", name=f"socket_axi_{width}", simulator=simulator,
              test_dir=HERE, parameters={"width": width, "axi": 1})
