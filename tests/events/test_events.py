"""Event queue against its model."""
from pathlib import Path

import pytest

from spps.events import EventQueue
from spps.params import TINY
from spps_sim.harness import run_bench, simulations


@pytest.mark.parametrize("depth, simulator", simulations((4, 64), 64))
def test_event_queue_agrees_with_model(depth, simulator):
    run_bench(EventQueue(TINY.replace(event_queue=depth)), "bench_events", name=f"event_queue_{depth}", simulator=simulator,
              test_dir=Path(__file__).parent, parameters={"depth": depth})
