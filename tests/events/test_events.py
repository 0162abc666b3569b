"""Event queue against its model."""
import pytest

from spps.events import EventQueue
from spps.params import TINY
from spps_sim.testbench.runner import run_bench, simulations


@pytest.mark.parametrize("depth, simulator", simulations((4, 64), 64))
def test_event_queue_agrees_with_model(depth, simulator):
    run_bench(EventQueue(TINY.replace(event_queue=depth)), "tests.events.bench_events", name=f"event_queue_{depth}",
              simulator=simulator, parameters={"depth": depth})
