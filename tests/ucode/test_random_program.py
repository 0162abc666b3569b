import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spps.ucode.isa import OPS_BY_NAME, TrapCode
from spps.ucode.iss import CoreIss
from spps_sim.model.random_program import random_program

SEEDS = st.integers(0, 2**32 - 1)


def run(image, seed, workspace=1, **sizes):
    core = CoreIss(image, csr=lambda name: sum(map(ord, name)), seed=seed, **sizes)
    core.load_workspace(workspace, [n * 0x9E3779B9 & 0xFFFFFFFF for n in range(128)])
    return core, core.run_event([n * 0x85EBCA6B & 0xFFFFFFFF for n in range(16)], workspace, max_steps=5000, trace=True)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.booleans())
def test_ends_without_trap_whatever_the_registers_held(seed, roam):
    image = random_program(seed, roam=roam)
    core, result = run(image, 1)
    again, other = run(image, 2)
    assert result.trap is None and not result.unfinished
    assert (result.messages, result.deadline, result.close) == (other.messages, other.deadline, other.close)
    assert core.mem == again.mem


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.sampled_from([(2, 2), (8, 16)]))
def test_fits_other_sizes(seed, sizes):
    workspaces, event_slots = sizes
    image = random_program(seed, workspaces=workspaces, event_slots=event_slots)
    assert run(image, 1, workspaces=workspaces, event_slots=event_slots)[1].trap is None


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_stays_in_its_own_memory_unless_told_to_roam(seed):
    core, result = run(random_program(seed), 1)
    own = {*range(128, 256), *range(512, 528), *range(core.map.scratch, core.map.size)}
    assert {step.store[0] for step in result.trace if step.store} <= own


@pytest.mark.parametrize("trap", [*TrapCode, 5])
def test_ends_with_the_trap_asked_for(trap):
    for seed in range(5):
        assert run(random_program(seed, blocks=4, trap=trap), 1)[1].trap == trap


def test_a_few_programs_use_every_instruction():
    used = {step.op for seed in range(40) for step in run(random_program(seed), 1)[1].trace}
    assert used == set(OPS_BY_NAME) - {"trap"}
