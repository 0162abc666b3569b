"""The program when a core is lost (trap or fence): in every event of a short connection, after each of its messages.

The messages that got out stay; the workspace is gone, with all that had not been written back; the flow starts again
from flowstate memory, in which the last record lies. What the peers see must be a transfer as any other.
"""
import random

import pytest

from spps_sim.model.functional import FunctionalSpps, ProgramError
from spps_sim.model.tcp_scenarios import Transfer


def with_losses(lose, seed=1, chance=1.0, **kw):
    """lose: as FunctionalSpps.lose. chance: of a write-back after an event."""
    transfer = Transfer(**kw)
    unit, rng = transfer.pair.units[0], random.Random(seed)
    unit.lose, unit.write_back = lose, lambda: rng.random() < chance
    return transfer.run(limit=300_000)


def events_of(**kw):
    """Messages of each event of the undisturbed connection."""
    sizes = []
    with_losses(lambda number, result: sizes.append(len(result.messages)), **kw).check()
    return sizes


@pytest.mark.parametrize("close, up, down", [("client", 3000, 2000), ("server", 3000, 2000), ("both", 3000, 2000),
                                             ("client", 0, 700), ("server", 700, 0)])
@pytest.mark.parametrize("chance", [1.0, 0.3])
def test_survives_the_loss_of_a_core_in_every_event(close, up, down, chance):
    kw = {"close": close, "up": up, "down": down, "chance": chance}
    failures, cases = [], 0
    for number, messages in enumerate(events_of(**kw), 1):
        for kept in range(messages + 1):
            cases += 1
            try:
                transfer = with_losses(lambda n, result, kept=kept, number=number: kept if n == number else None, **kw)
                problems = transfer.problems()
            except (ProgramError, TimeoutError) as error:
                problems = [str(error)]
            if problems:
                failures.append(f"lost in event {number} after {kept} of {messages} messages: " + "; ".join(problems))
    assert cases > 20
    assert not failures, f"{len(failures)} of {cases}\n" + "\n".join(failures)


def failures_in(**kw):
    """How many losses a broken unit does not survive."""
    count = 0
    for number, messages in enumerate(events_of(**kw), 1):
        for kept in range(messages + 1):
            try:
                count += bool(with_losses(lambda n, result, kept=kept, number=number: kept if n == number else None,
                                          **kw).problems())
            except (ProgramError, TimeoutError):
                count += 1
    return count


def test_a_unit_that_goes_on_with_an_old_state_is_found(monkeypatch):
    monkeypatch.setattr(FunctionalSpps, "restarts", property(lambda unit: set(), lambda unit, value: None),
                        raising=False)
    assert failures_in(up=1500, down=700, chance=0.3)


def test_a_unit_that_keeps_no_records_is_found(monkeypatch):
    monkeypatch.setattr(FunctionalSpps, "keep_record", lambda unit, conn, words: None)
    assert failures_in(up=1500, down=700, chance=0.3)


def test_a_lost_syn_leaves_nothing_behind():
    transfer = Transfer(up=100, down=100)
    unit = transfer.pair.units[0]
    unit.lose = lambda number, result: 1 if number == 1 else None       # the key of the server's leg is already there
    transfer.pair.run(until=lambda: unit.events == 1)
    assert unit.losses == 1 and not unit.in_use and not unit.keys and not unit.scratch
    transfer.run()
    transfer.check()


@pytest.mark.parametrize("seed", range(6))
def test_survives_losses_again_and_again(seed):
    rng = random.Random(seed)
    transfer = with_losses(lambda n, result: rng.randint(0, len(result.messages)) if rng.random() < 0.04 else None,
                           seed=seed, chance=0.4, up=40_000, down=40_000, close="both")
    transfer.check()
    assert transfer.pair.units[0].losses > 1
