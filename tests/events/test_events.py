"""Event queue against its model."""
from pathlib import Path

import pytest

from spps.events import EventQueue
from spps.params import TINY
from spps_sim.harness import SIMULATORS, run_bench


@pytest.mark.parametrize("simulator", SIMULATORS)
@pytest.mark.parametrize("depth", (4, 64))
def test_event_queue_agrees_with_model(depth, simulator):
    run_bench(EventQueue(TINY.replace(event_queue=depth)), "bench_events", name=f"event_queue_{depth}", simulator=simulator,
              test_dir=Path(__file__).parent, parameters={"depth": depth})
