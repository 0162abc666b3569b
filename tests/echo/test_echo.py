"""Echo responder against scapy, at every width."""
import pytest

from spps.echo import EchoResponder
from spps.params import TINY
from spps_sim.testbench.runner import run_bench, simulations


@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_echo_responder_answers_as_a_host_does(width, simulator):
    run_bench(EchoResponder(TINY.replace(data_width=width)), "tests.echo.bench_echo", name="echo", simulator=simulator,
              parameters={"width": width})
