"""Another key for the sync frames of a pair under load, by registers, in RTL."""
import pytest

from spps_sim.backend.keys import sync_keys
from tests.system.env_rejoin import SETTLE, Run

pytestmark = pytest.mark.rtl

REFUSED = "bad_frame", "foreign_frame", "bad_key", "bad_tag", "replayed", "unheard"
STEP = 3000         # clocks


def test_key_is_changed_under_load_without_losing_protection():
    run = Run(6, 30_000)
    run.run(SETTLE)
    assert run.until_joined() == 0

    def counted():
        return [run.sim.read(unit, f"failover_{name}") for unit in (0, 1) for name in (*REFUSED, "lease_lost", "alone")]
    before, records = counted(), run.sim.read(0, "failover_state_out")
    run.says(0, sync_key=1, joins=1)
    steps = sync_keys(7, "b"), {"sync_accept": 3}, {"sync_send": 1}, {"sync_accept": 2}, dict.fromkeys(
        sync_keys(7, "a"), 0)
    for step in steps:
        for unit in (0, 1):
            run.sim.configure(step, (unit,))
            run.run(STEP)
    assert not run.hosts.over and run.sim.read(0, "failover_state_out") > records + 10
    assert counted() == before
    for unit in (0, 1):
        run.says(unit, sync_key=2, **dict.fromkeys((*sync_keys(7, "a"), *sync_keys(7, "b")), 0))
    run.says(0, joins=1)
    run.protected(0)
    run.sim.kill(0)
    run.finish()
