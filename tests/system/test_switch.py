"""Planned switch-overs in a row under load both ways, in RTL; the monitor judges all frames."""
import pytest

from spps.failover.signature import SwitchState, SwitchVerdict
from spps_sim.checker.wire import HANDOVER
from tests.system.env_rejoin import AWAY, SETTLE, Run

pytestmark = pytest.mark.rtl

TURN = 500
SWITCH, JOIN = 100_000, 80_000      # clocks, at most
#: of peers and pair, clocks: more than a round trip under load, so that a timeout is that of something lost
RTO = {"rto_initial": 400_000, "rto_min": 200_000, "rto_max": 1_000_000}


def switch(run, active):
    """Hand over from `active` and run until the other unit is protected; returns the new active."""
    run.sim.write(active, "switch", 1)
    end = run.sim.cycle + SWITCH
    while run.sim.read(active, "switch_verdict") == SwitchVerdict.NONE and run.sim.cycle < end:
        run.run(TURN)
    run.says(active, switch_verdict=SwitchVerdict.DONE, switch_state=0)
    assert run.until_joined(JOIN) == 1 - active
    return 1 - active


def timeouts(run):
    """Retransmission timeouts of all peers."""
    return sum(connection.counters["timeouts"]
               for end in (run.hosts.client, run.hosts.server) for connection in end.all_connections())


def test_switches_over_and_back_under_load():
    """No byte is lost and no peer waits for its retransmission timer."""
    run = Run(4, 100_000, rto=RTO)
    run.run(SETTLE)
    active = 0
    assert run.until_joined() == active
    for _ in range(5):
        active = switch(run, active)
    assert not run.hosts.over, "the load ended before the last switch-over"
    assert timeouts(run) == 0
    assert run.sim.read(0, "failover_handed_over") + run.sim.read(1, "failover_handed_over") == 5
    assert run.sim.read(0, "failover_takeover") + run.sim.read(1, "failover_takeover") == 5
    assert run.sim.read(active, "lost_in_resync") == 0
    syncs = run.finish()
    assert len([sync for sync in syncs if sync.type == HANDOVER]) == 5


@pytest.mark.parametrize("phase", [SwitchState.DRAIN, SwitchState.HOLD, SwitchState.YIELDED])
@pytest.mark.parametrize("victim", [0, 1])
def test_a_unit_that_dies_in_the_middle_costs_nothing(phase, victim):
    """Connections go on with the other unit, whether or not it is the active by then, and are protected again."""
    run = Run(4, 60_000, rto=RTO)
    run.run(SETTLE)
    assert run.until_joined() == 0
    run.sim.write(0, "switch", 1)
    end = run.sim.cycle + SWITCH
    while run.sim.read(0, "switch_state") != phase:
        assert run.sim.cycle < end, f"{phase.name} is not reached"
        run.run(20)
    run.sim.kill(victim)
    run.run(AWAY)
    run.says(1 - victim, active=1, unprotected=1, switch_state=0)
    run.sim.revive(victim)
    assert run.until_joined(JOIN) == 1 - victim
    run.finish()
