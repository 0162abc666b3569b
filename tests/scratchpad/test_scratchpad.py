"""Scratchpad: parameters, page list and the cocotb bench."""
import pytest

from spps.params import TINY
from spps.scratchpad import PageList, Scratchpad
from spps_sim.testbench.runner import run_bench, simulations


def test_refuses_a_page_count_that_is_no_power_of_two():
    with pytest.raises(ValueError, match="pages=12: must be a power of two"):
        PageList(12)


@pytest.mark.slow
@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_keeps_payloads_as_the_model(width, simulator):
    pages, page_bytes = 32, 64
    params = TINY.replace(data_width=width, scratch_pages=pages, scratch_page_bytes=page_bytes, max_frame=576)
    run_bench(Scratchpad(params), "tests.scratchpad.bench_scratchpad", name="scratchpad", simulator=simulator,
              parameters={"width": width, "pages": pages, "page_bytes": page_bytes})
