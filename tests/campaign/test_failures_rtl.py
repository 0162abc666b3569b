"""The judge of every kind of failure on the RTL pair: it passes a sound pair, and rejects a broken one by name.

A broken one is the same failure with one thing bent: a register of the pair, what the failure does, or what it expects.
"""
from dataclasses import dataclass, field, replace

import pytest

from spps_sim.campaign import failures
from spps_sim.campaign.case import Case
from spps_sim.campaign.case_run import CaseRun
from spps_sim.campaign.failures import FAILURES
from spps_sim.campaign.fork import in_fork
from spps_sim.campaign.shard import run_case, run_shard
from spps_sim.campaign.variants import REGISTERS, Setting

pytestmark = [pytest.mark.slow, pytest.mark.rtl]

PLAIN = Setting("plain", "none", 1)
MIDDLE = 7000           # cycles after the SYN: data are under way in both directions, and some have arrived


@pytest.fixture(scope="module")
def sound():
    """{failure: result} of all of them, in one shard."""
    run = CaseRun(PLAIN)
    run.start()
    cases = [Case(PLAIN, name, run.begin + MIDDLE) for name in FAILURES]
    return {Case.parse(result["line"]).failure: result for result in run_shard(PLAIN, cases)}


@pytest.mark.parametrize("name", FAILURES)
def test_a_sound_pair_passes(name, sound):
    result = sound[name]
    assert result["failures"] == []
    if FAILURES[name].holds == "survives":
        assert result["demand"] == "survive" and result["outcome"] == "survived"
    elif FAILURES[name].holds != "by its word":
        assert result["demand"] == "may end" and result["outcome"] != "survived"
    if name.startswith("walk_restarts") or name == "double":
        assert result["notes"]["double"] == result["notes"]["rejoins"] == 1


class Long(CaseRun):
    """What is away is so for 4000 cycles at least."""

    def begin_case(self, case):
        super().begin_case(case)
        self.rng.randrange = lambda low, high=None: max(4000, low) if high == 6000 else low


class Boasts(CaseRun):
    """Says that it is protected, whatever the registers say."""

    def said(self, unit=None, *, waiting=False):
        return super().said(unit, waiting=waiting) | {"protected": True, "unprotected": 0}


class Modest(CaseRun):
    """Says that it is not protected, whatever the registers say."""

    def said(self, unit=None, *, waiting=False):
        return super().said(unit, waiting=waiting) | {"protected": False, "unprotected": 1, "joined": 0}


class Alters(CaseRun):
    """The client's application sees another byte."""

    def failures(self, resume_bound=300_000):
        if self.connection.received:
            self.connection.received[0] ^= 1
        return super().failures(resume_bound)


class Mute(CaseRun):
    """Nobody switches a unit on again."""

    def switch_on(self, unit, alone=False):
        pass




@dataclass
class Broken:
    """says: part of what the judge finds. registers: of the pair. k: heartbeats lost. at: cycles after the SYN."""
    failure: str
    says: str
    run: type = CaseRun
    registers: dict = field(default_factory=dict)
    k: "int | None" = None
    at: int = MIDDLE


BROKEN = {
    # survives
    "no takeover": Broken("freeze", "never took over", registers={"takeover_after": 0}),
    "late takeover": Broken("kill", "takes over 3", registers={"takeover_after": 4000}),
    "no promise": Broken("kill", "does not call itself protected", Modest),
    "another byte": Broken("nothing", "client: received 1800 of 1800 bytes, equal up to 0", Alters),
    "lost": Broken("standby_and_active", "client: reset in state history", type("Never", (CaseRun,), {
        "lose_both": lambda self: None})),
    "stall": Broken("standby_dies", "does not go on alone", Long, {"policy": 0}),
    "no rejoin": Broken("double", "not protected again", registers={"auto_join": 0}),
    "two masters": Broken("heartbeats_enough", "both units may emit", registers={"lease": 60_000}),
    "one heartbeat too many": Broken("heartbeats_few", "3 heartbeats lost, and failover_", k=4),
    "one heartbeat too few": Broken("heartbeats_enough", "4 heartbeats lost, and nothing has happened", k=3),
    "thawed and not back": Broken("thaw", "not protected again", registers={"auto_join": 0}),
    # by its word
    "protected in the walk": Broken("walk_active_dies", "in state history", Boasts, at=7320),
    # ends
    "boast": Broken("standby_after", "does not say that it is unprotected", Boasts),
    "silence": Broken("standby_before", "does not say that it is unprotected 2840 cycles", registers={"policy": 0}),
    "false byte at the end": Broken("standby_and_active", "bytes, of which 0 are right", Alters),
    "nobody answers": Broken("standby_and_active", "neither RST nor timeout has ended it", Mute, at=9500),
    # peer gone
    "false byte of a peer": Broken("server_restarts", "bytes, of which 0 are right", Alters),
    "nobody tells": Broken("server_silent", "has not been told", registers={"keepalive": 0}, at=9450),
}
assert {FAILURES[one.failure].holds for one in BROKEN.values()} == {failure.holds for failure in FAILURES.values()}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_rejected(name, monkeypatch):
    broken = BROKEN[name]
    scenario = replace(PLAIN.scenario(), registers=REGISTERS | broken.registers)
    if "takeover_after" in broken.registers:        # the judge expects the sound value
        scenario = PLAIN.scenario()
    run = broken.run(PLAIN, scenario=scenario)
    run.start()
    if "takeover_after" in broken.registers:
        run.sim.configure({"takeover_after": broken.registers["takeover_after"]})
    if broken.k is not None:
        right = failures._k(run)
        monkeypatch.setattr(failures, "_lose_heartbeats", _bent(failures._lose_heartbeats, broken.k, right))
    run.run_until(run.begin + broken.at)
    result = in_fork(lambda: run_case(run, Case(PLAIN, broken.failure, run.sim.cycle)))
    assert any(broken.says in text for text in result["failures"]), result


def _bent(lose, count, right):
    return lambda run, wanted: lose(run, count)
