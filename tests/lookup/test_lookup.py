"""Lookup controller, flowstate memory and timers against their models."""

import pytest

from spps.lookup import FlowHash, FlowstateMemory, LookupController, TimerUnit
from spps.params import TINY
from spps_sim.model.lookup import LookupModel, half_siphash
from spps_sim.testbench.runner import SIMULATORS, run_bench, simulations

#: the authors' published vectors: 64-bit HalfSipHash-2-4 of 0, 1, ... under the key 0..7
VECTORS = {0: "218d1f59b9b83cc8", 1: "be552412f8387315", 4: "d5e78a175be52ea1", 15: "217d0bcb4e81c902",
           16: "7336aad25f7bf3b5"}


def test_model_hash_matches_published_vectors():
    for length, expected in VECTORS.items():
        assert half_siphash(bytes(range(length)), bytes(range(8))).hex() == expected


def test_flow_hash_matches_published_vector():
    key, secret = (int.from_bytes(bytes(range(n)), "little") for n in (16, 8))
    assert FlowHash().compute(key, secret).to_bytes(8, "little").hex() == VECTORS[16]


@pytest.mark.parametrize("name", ("c", "d"))
def test_flow_hash_refuses_zero_rounds(name):
    with pytest.raises(ValueError, match=f"{name}=0: must be at least 1"):
        FlowHash(**{name: 0})


@pytest.mark.parametrize("entries", (0, 3, 32))
def test_quick_list_has_a_power_of_two_of_entries(entries):
    with pytest.raises(ValueError, match=f"quick_entries={entries}: must be a power of two from 2 to 16"):
        TINY.replace(quick_entries=entries)


@pytest.mark.parametrize("connections", (2, 16, 256))
def test_half_full_table_rarely_overflows(connections):
    """Two keys for every connection: how often two buckets of four are full. Printed, and bounded."""
    import random
    failed = 0
    for seed in range(max(4, 2000 // connections)):
        rng = random.Random(seed)
        model = LookupModel(connections, rng.getrandbits(64))
        for conn in range(connections):
            for leg in range(2):
                model.command(0, conn, leg, rng.getrandbits(116))
        failed += model.count["insert_failed"]
    print(f"{connections} connections: {failed} of {2 * connections * max(4, 2000 // connections)} inserts failed")
    assert failed <= 1


@pytest.mark.parametrize("bench", ("controller", "covered"))
@pytest.mark.parametrize("connections, simulator", simulations((2, 16), 16))
def test_lookup_controller_agrees_with_model(connections, simulator, bench):
    params = TINY.replace(connections=connections, quick_entries=min(connections, TINY.quick_entries))
    run_bench(LookupController(params), f"tests.lookup.bench_lookup_{bench}",
              name=f"lookup_controller_{connections}", simulator=simulator, parameters={"connections": connections})


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_timer_unit_agrees_with_model(simulator):
    run_bench(TimerUnit(TINY), "tests.lookup.bench_timer_unit", name="timer_unit", simulator=simulator,
              parameters={"connections": TINY.connections})


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_flowstate_memory_keeps_what_was_written(simulator):
    run_bench(FlowstateMemory(TINY), "tests.lookup.bench_flowstate_memory", name="flowstate_memory",
              simulator=simulator, parameters={"connections": TINY.connections})
