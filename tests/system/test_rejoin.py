"""Connections through failures in alternating units, each with a rejoin, in RTL; the monitor judges all frames."""
import pytest

from spps_sim.checker.wire import END, FULL, STATE
from tests.system.env_rejoin import AWAY, JOIN, SETTLE, Run

pytestmark = pytest.mark.rtl


@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_survives_failures_in_alternating_units(how):
    """A unit that is switched on again, or thawed, joins by itself."""
    run = Run(12, 40_000)
    run.run(SETTLE)
    active = 0
    run.protected(active)
    for _ in range(4):
        if how == "kill":
            run.sim.kill(active)
            run.run(AWAY)
            run.sim.revive(active)
        else:
            run.sim.freeze(active)
            run.run(AWAY)
            run.sim.freeze(active, False)
        run.run(JOIN)
        active = 1 - active
        run.protected(active)
    syncs = run.finish()
    ends = [sync for sync in syncs if sync.type == STATE and sync.kind == END]
    fulls = [sync for sync in syncs if sync.type == STATE and sync.kind == FULL]
    assert len(ends) == 4 and len(fulls) >= 4 * 10
    assert run.sim.read(active, "lost_in_resync") == 0


def test_active_goes_on_without_its_standby_and_is_protected_again():
    """What the standby missed while it was frozen is not called protected before it has it; then the active dies."""
    run = Run(4, 60_000)
    run.run(SETTLE)
    run.sim.freeze(1)
    run.run(40_000)
    run.says(0, active=1, unprotected=1, protect=0, joined=0)
    assert run.sim.read(0, "exposed") == 4
    run.sim.freeze(1, False)
    run.run(JOIN)
    run.protected(0)
    run.sim.kill(0)
    run.finish()


def test_silence_shorter_than_the_lease_costs_nothing():
    run = Run(2, 20_000)
    run.run(SETTLE)
    joins = run.sim.read(0, "joins")
    run.sim.freeze(1)
    run.run(run.sim.read(0, "lease") // 2)
    run.sim.freeze(1, False)
    run.run(20_000)
    run.says(0, joins=joins, joined=1, unprotected=0)
    run.protected(0)
    run.finish()


def test_a_unit_of_another_configuration_is_refused():
    run = Run(2, 20_000)
    run.run(SETTLE)
    run.sim.write(1, "window", 4096)
    run.sim.write(1, "rejoin", 1)
    run.run(20_000)
    run.says(0, joined=0, join_verdict=3, unprotected=1)
    run.sim.write(1, "window", run.sim.read(0, "window"))
    run.run(JOIN)
    run.protected(0)
    run.finish()
