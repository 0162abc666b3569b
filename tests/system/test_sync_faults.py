"""A pair whose sync link loses, repeats, delays and damages frames: two failures and a rejoin, in RTL."""
import pytest

from spps_sim.backend.interface import SyncFaults
from tests.system.env_rejoin import AWAY, JOIN, SETTLE, Run

pytestmark = pytest.mark.rtl

#: of each direction; damage is noticed by the FCS, where it is not silent. Four heartbeats lost in a row make a
#: takeover: with a share of 0.1 in every tenth run
FAULTS = {
    "loss": {"loss": 0.05}, "duplicate": {"duplicate": 0.2}, "reorder": {"reorder": 0.1}, "delay": {"delay": 150},
    "damage": {"corrupt": 0.05, "truncate": 0.05},
    "silent": {"corrupt": 0.05, "truncate": 0.05, "silent": True}, "replay": {"replay": 0.1},
    "all": {"loss": 0.03, "duplicate": 0.05, "reorder": 0.03, "corrupt": 0.03, "truncate": 0.03, "delay": 20},
}


#: counters of the failover unit that rise before the first failure
COUNTED = {"duplicate": ("replayed",), "reorder": ("replayed",), "damage": ("bad_frame",),
           "silent": ("bad_frame", "bad_tag"), "replay": ("replayed",)}


@pytest.mark.parametrize("fault", FAULTS)
def test_survives_two_failures_on_a_faulty_sync_link(fault):
    run = Run(6, 30_000)
    for sender in (0, 1):
        run.sim.sync_faults(sender, SyncFaults(**FAULTS[fault], seed=sender + 1))
    for failures in (0, 1):
        run.run(JOIN if failures else SETTLE)
        active = run.until_joined()
        if not failures:
            for name in COUNTED.get(fault, ()):
                assert run.sim.read(0, f"failover_{name}") + run.sim.read(1, f"failover_{name}"), name
        run.sim.kill(active)
        run.run(AWAY)
        run.sim.revive(active)
    run.run(JOIN)
    run.until_joined()
    run.finish()


def test_a_cut_in_one_direction_makes_no_two_masters():
    """What the standby says is lost: the active goes on alone. Mended, the pair is protected again and survives."""
    run = Run(4, 40_000)
    run.run(SETTLE)
    run.sim.sync_faults(1, SyncFaults(cut=True))
    run.run(20_000)
    run.says(0, active=1, unprotected=1, joined=0)
    run.says(1, active=0)
    run.sim.sync_faults(1)
    run.run(JOIN)
    run.protected(0)
    run.sim.kill(0)
    run.finish()
