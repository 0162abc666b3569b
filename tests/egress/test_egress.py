"""Output processor against its model and scapy, under both simulators and at every width."""
from pathlib import Path

import pytest

from spps.egress import OutputProcessor
from spps.params import TINY
from spps_sim.harness import SIMULATORS, run_bench


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("width", (32, 64, 128))
def test_output_processor_agrees_with_model(width, simulator):
    run_bench(OutputProcessor(TINY.replace(data_width=width)), "bench_egress", name=f"egress_{width}", simulator=simulator,
              test_dir=Path(__file__).parent, parameters={"width": width})
