"""Socket memory controller against its model: both simulators, every width, on chip and with external memory."""

import pytest

from spps import gen
from spps.pair import SppsPair
from spps.params import TINY
from spps.socket import AxiMemory, Geometry, SocketMemoryController
from spps.tools.verilog import to_verilog
from spps_sim.testbench.runner import run_bench, simulations
from tests.socket import sizes


@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_socket_memory_agrees_with_model(width, simulator):
    run_bench(SocketMemoryController(sizes.params(width)), "tests.socket.bench_socket", name=f"socket_{width}",
              simulator=simulator, parameters={"width": width})


@pytest.mark.parametrize("simulator", ("icarus",))
@pytest.mark.parametrize("width", (64, 128))
def test_external_memory_agrees_with_model(width, simulator):
    run_bench(SocketMemoryController(sizes.params(width, axi=1)), "tests.socket.bench_socket",
              name=f"socket_axi_{width}", simulator=simulator, parameters={"width": width, "axi": 1})


@pytest.mark.parametrize("change, message", (
    ({"pool_pages": (20, 0, 0, 0)}, r"pool_pages=\(20, 0, 0, 0\): must be 0 or at least 56 pages of 256 bytes"),
    ({"pool_pages": (0, 0, 0, 0)}, "pool_pages=.*not all 0"),
    ({"page_bytes": (256, 512, 1024, 3000)}, "page_bytes=.*four powers of two from 64 to 2048"),
    ({"page_bytes": (256, 512, 1024, 2048), "socket_bytes": 2048}, "page_bytes=.*at most half of socket_bytes"),
    ({"page_bytes": 5}, "page_bytes=5: must be four powers of two"),
    ({"pool_pages": "abcd"}, "pool_pages='abcd': must be four numbers"),
    ({"pool_pages": (512.0, 64, 32, 16)}, "pool_pages=.*must be four numbers"),
    ({"socket_memory": "dram"}, "socket_memory='dram': must be onchip or axi4"),
))
def test_refuses_senseless_pools(change, message):
    with pytest.raises(ValueError, match=message):
        TINY.replace(**change)


def test_takes_pools_as_json_has_them():
    assert hash(TINY.replace(pool_pages=list(TINY.pool_pages))) == hash(TINY)


def test_refuses_pages_longer_than_an_axi_burst():
    with pytest.raises(ValueError, match="page of 512 rows: must be at most 256"):
        AxiMemory(Geometry(TINY.replace(data_width=32, pool_pages=(0, 0, 0, 16))))


def test_a_pair_has_no_external_memory():
    with pytest.raises(ValueError, match="socket_memory='axi4'.*must be onchip"):
        SppsPair(TINY.replace(socket_memory="axi4"))


@pytest.mark.slow
def test_a_unit_with_external_memory_has_its_ports(tmp_path):
    text = gen.write_spps(TINY.replace(socket_memory="axi4"), tmp_path).read_text()
    assert all(f"axi__{name}" in text for name in ("awvalid", "wstrb", "bresp", "arlen", "rdata"))


def test_external_memory_lints(tmp_path):
    unit = SocketMemoryController(TINY.replace(socket_memory="axi4"))
    path = to_verilog(unit, "socket_axi", tmp_path / "socket_axi.v")
    gen.lint_verilog(path, "socket_axi")
