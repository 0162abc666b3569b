"""The protocol cluster against the instruction-set simulator."""
import json

import pytest

from spps.cluster import InstructionMemory, ProtocolCluster
from spps.params import TINY
from spps.ucode.programs import default_image
from spps_sim.testbench.runner import run_bench, simulations


@pytest.mark.parametrize("gaps, simulator", simulations([(0, 0), (0.3, 0), (0, 0.5), (0.3, 0.5)], (0.3, 0.5)))
def test_cluster_matches_model(gaps, simulator):
    idle, pause = gaps
    run_bench(ProtocolCluster(TINY), "tests.cluster.bench_cluster", name="cluster", simulator=simulator,
              parameters={"idle": idle, "pause": pause})


@pytest.mark.parametrize("width", [32, 64, 128])
@pytest.mark.parametrize("changes", [
    {"cores": 1, "workspaces": 2, "event_slots": 2, "imem_words": 512},
    {"clusters": 2, "cores": 5, "workspaces": 8, "event_slots": 16, "imem_words": 1024,
     "pool_pages": (512, 256, 256, 256)},
])
def test_cluster_of_other_sizes_matches_model(width, changes):
    changes = dict(changes, data_width=width)
    params = TINY.replace(**changes)
    run_bench(ProtocolCluster(params, index=params.clusters - 1), "tests.cluster.bench_cluster", simulator="icarus",
              name=f"cluster_{params.cores}_{width}", extra_env={"SPPS_PARAMS": json.dumps(changes)},
              parameters={"idle": 0.2, "pause": 0.2, "programs": 3})


@pytest.mark.parametrize("image, message", [
    ([0] * (TINY.imem_words + 1),
     f"image of {TINY.imem_words + 1} words: must be at most imem_words={TINY.imem_words}"),
    ([1 << 36], "must be an unsigned 36-bit word"),
])
def test_image_that_does_not_fit_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        InstructionMemory(TINY, image=image)


def test_index_outside_the_system_is_refused():
    with pytest.raises(ValueError, match="index=1: must be from 0 to clusters - 1 = 0"):
        ProtocolCluster(TINY, index=1)


ONE_CORE = {"cores": 1}


@pytest.mark.parametrize("pause", [0, 0.4])
def test_core_runs_the_program_like_the_simulator(pause):
    params = TINY.replace(**ONE_CORE)
    run_bench(ProtocolCluster(params, image=default_image().words, activity=True), "tests.cluster.bench_program",
              name="cluster_program", simulator="icarus", parameters={"pause": pause},
              extra_env={"SPPS_PARAMS": json.dumps(ONE_CORE)})
