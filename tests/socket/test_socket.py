"""Socket memory controller against its model, under both simulators and at every width."""
from pathlib import Path

import pytest

from spps.params import TINY
from spps.socket import SocketMemoryController
from spps_sim.harness import SIMULATORS, run_bench


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("width", (32, 64, 128))
def test_socket_memory_agrees_with_model(width, simulator):
    params = TINY.replace(data_width=width, connections=4, socket_bytes=2048)
    run_bench(SocketMemoryController(params), "bench_socket", name=f"socket_{width}", simulator=simulator,
              test_dir=Path(__file__).parent, parameters={"width": width})
