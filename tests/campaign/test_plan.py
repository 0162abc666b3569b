"""Which cases a campaign has."""
from itertools import pairwise

import pytest

from spps_sim.campaign.failures import FAILURES
from spps_sim.campaign.plan import SWEEP, SWEPT, Phases, plan, settings
from spps_sim.campaign.variants import LINKS, VARIANTS
from spps_sim.checker.states import STATES

#: all eleven states one after the other, twice; downstream half a state later
PHASES = Phases(5000, 15_000, 27_000, {f"{d}/{s}": [(a + 300 * s + 150 * d, a + 300 * s + 300 + 150 * d)
                                                    for a in (5000, 9000)] for d in (0, 1) for s in STATES})


def planned(cases, seed=1):
    return plan(dict.fromkeys(settings(cases, seed), PHASES), cases, seed)


@pytest.mark.parametrize("cases", [1, 7, 150, 3000])
def test_there_are_as_many_as_asked_for_and_no_two_alike(cases):
    found = planned(cases)
    assert len(found) == cases == len({case.line for case in found})
    assert found == planned(cases) and (cases == 1 or found != planned(cases, 2))


def test_every_state_meets_every_failure_and_every_fault_of_the_link():
    found = planned(10_000)
    met = {(case.setting.link, case.failure, state) for case in found for direction in (0, 1)
           for state in PHASES.at(case.cycle, direction)}
    assert met == {(link, failure, state) for link in LINKS for failure in FAILURES for state in STATES}
    assert {case.setting.variant for case in found} == set(VARIANTS)
    for link in LINKS:
        assert len({case.setting.variant for case in found if case.setting.link == link}) == len(VARIANTS)


def test_a_few_cases_still_have_every_link():
    found = planned(150)
    assert {case.setting.link for case in found} == set(LINKS) and len({case.setting for case in found}) < 12
    assert {case.failure for case in planned(80)} == set(FAILURES)


def test_half_of_the_kills_are_not_told_to_the_switch():
    found = [case for case in planned(10_000) if case.failure in ("kill", "freeze")]
    assert sum(case.failure == "freeze" for case in found) >= len(found) / 2


def sweep(cases):
    return sorted(case.cycle for case in planned(cases)[:int(cases * SWEEP)])


def test_the_sweep_is_even_and_has_every_cycle_when_it_can():
    few, many = sweep(10_000), sweep(60_000)
    busy = [cycle for cycle in few if cycle < PHASES.resting]
    assert len(busy) == 3600 and max(b - a for a, b in pairwise(busy)) <= 3
    assert few[0] == PHASES.first and few[-1] > PHASES.last - 100
    assert sorted(set(many)) == list(range(PHASES.first, PHASES.last))
    assert {case.failure for case in planned(10_000)[:4000]} == set(SWEPT)


def test_a_cycle_is_picked_from_the_state_it_is_for():
    import random
    rng = random.Random(1)
    for state in STATES:
        picked = {PHASES.pick(state, rng) for _ in range(2000)}
        assert all(state in PHASES.at(cycle, 0) + PHASES.at(cycle, 1) for cycle in picked) and len(picked) > 400
    anywhere = [PHASES.pick(None, rng) for _ in range(1000)]
    assert min(anywhere) < 5500 and max(anywhere) > 26_500
