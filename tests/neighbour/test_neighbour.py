"""Neighbour table against its model, and designs that it rejects."""
import inspect
from pathlib import Path

import pytest

from spps import neighbour
from spps.neighbour import NeighbourTable, neighbour_keeper, neighbour_table
from spps.params import TINY
from spps_sim.testbench.runner import run_bench, simulations


@pytest.mark.parametrize("entries, simulator", simulations((16, 64), 16))
def test_neighbour_table_agrees_with_model(entries, simulator):
    run_bench(NeighbourTable(TINY.replace(neighbours=entries)), "tests.neighbour.bench_neighbour",
              name=f"neighbour_{entries}", simulator=simulator, parameters={"entries": entries})


def mutated(old, new):
    """NeighbourKeeper with a piece of its source changed."""
    source = inspect.getsource(neighbour_keeper)
    assert source.count(old) == 1, f"{old!r}: not once in the source"
    names = {"__name__": "mutated", "__package__": neighbour_keeper.__package__}
    exec(compile(source.replace(old, new), "neighbour_keeper_mutated.py", "exec"), names)
    return names["NeighbourKeeper"]


@pytest.mark.parametrize("name, old, new", (
    ("frozen", "following.mac.eq(mac)", "following.mac.eq(Mux(was_valid, entry.mac, mac))"),
    ("flood", "& (entry.tries < config.arp_retries)", ""),
    ("unasked", "self._learns & ~self._hit & ~create", "self._learns & ~self._hit & 0"),
))
def test_broken_table_is_noticed(monkeypatch, name, old, new):
    monkeypatch.setattr(neighbour_table, "NeighbourKeeper", mutated(old, new))
    with pytest.raises(AssertionError, match="cocotb tests failed"):
        run_bench(NeighbourTable(TINY), "tests.neighbour.bench_neighbour", name=f"neighbour_{name}",
                  simulator="verilator", parameters={"entries": TINY.neighbours, "broken": 1})


def test_readme_names_every_counter():
    text = (Path(neighbour.__file__).parent / "README.md").read_text()
    assert [name for name in NeighbourTable.COUNTERS if f"`{name}`" not in text] == []
