"""Linux sockets at both ends of links that lose, reorder, duplicate and corrupt, while the active unit dies.

Once the faults are the harness's own, by seed, between the TAP devices and the pair, in both directions: they can be
repeated, and `sch_netem` is not in every kernel. Where it is, it makes the faults once more. The Python peers meet the
same faults in tests/campaign/test_campaign_rtl.py.
"""
import pytest

from spps.params import TINY
from spps_sim.backend.simulation import Simulation
from spps_sim.demo.linux import run_demo
from spps_sim.network.links import LinkFaults
from spps_sim.network.namespaces import MissingPrivilege, Namespace
from spps_sim.network.testbed import Addresses

#: jitter in cycles is several of the testbed's slices, so that a late frame is overtaken
FAULTS = LinkFaults(loss=0.02, reorder=0.05, duplicate=0.01, corrupt=0.01, jitter=20_000)
#: the same for tc-netem(8); what is reordered overtakes what has the delay
NETEM = ["delay", "8ms",
         *(word for kind in ("loss", "reorder", "duplicate", "corrupt")
           for word in (kind, f"{getattr(FAULTS, kind):.0%}"))]
CONNECTIONS, SIZE = 4, 65_536


@pytest.fixture(scope="session")
def netem(privilege, lacking):
    """Skips where the kernel has no netem, and says why."""
    try:
        with Namespace("netem", Addresses.client_net) as namespace:
            namespace.netem(*NETEM)
    except MissingPrivilege as reason:
        lacking(str(reason))


def survived(tmp_path, **faults):
    """Summary of a demo on such links, of which every connection and the unit that is left are in order."""
    sim = Simulation.of(TINY)
    summary = run_demo(lambda: sim, TINY, seed=7, connections=CONNECTIONS, size=SIZE, out=tmp_path, limit=300, **faults)
    assert summary["verdict"] == "pass", summary
    assert summary["endpoints"] == "linux" and summary["bytes_up"] == summary["bytes_down"] == CONNECTIONS * SIZE
    assert summary["violations"] == 0
    assert sim.read(1 - summary["second_killed_unit"], "director_traps") == 0
    return summary


@pytest.mark.slow
@pytest.mark.usefixtures("privilege")
def test_linux_peers_survive_a_kill_on_bad_links(tmp_path):
    faults = survived(tmp_path, faults=FAULTS)["link_faults"]
    print("faults by the harness:", faults)
    assert all(faults.values())


@pytest.mark.slow
@pytest.mark.usefixtures("netem")
def test_linux_peers_survive_a_kill_behind_netem(tmp_path):
    assert survived(tmp_path, netem=NETEM)["link_faults"]["netem_lost"] > 0
