"""Linux sockets at both ends of links that lose, reorder, duplicate and corrupt, while the active unit dies.

The faults are the harness's own, by seed, between the TAP devices and the pair, in both directions: `sch_netem` is not in every kernel, and its faults
could not be repeated. The Python peers meet the same faults in test_harness_rtl.py.
"""
import pytest
from spps_sim.cli import _simulation
from spps_sim.demo import run_demo
from spps_sim.network import LinkFaults

#: jitter in cycles is several of the plant's slices, so that a late frame is overtaken
FAULTS = LinkFaults(loss=0.02, reorder=0.05, duplicate=0.01, corrupt=0.01, jitter=20_000)
CONNECTIONS, SIZE = 4, 65_536


@pytest.mark.slow
@pytest.mark.usefixtures("privilege")
def test_linux_peers_survive_a_kill_on_bad_links(tmp_path):
    sim, params = _simulation("tiny")
    summary = run_demo(lambda: sim, params, seed=7, connections=CONNECTIONS, size=SIZE, out=tmp_path, limit=300, faults=FAULTS)
    print("faults by the harness (not sch_netem):", summary["link_faults"])
    assert summary["verdict"] == "pass", summary
    assert summary["endpoints"] == "linux" and summary["bytes_up"] == summary["bytes_down"] == CONNECTIONS * SIZE
    assert summary["violations"] == 0 and all(summary["link_faults"].values())
    survivor = 1 - summary["killed_unit"]
    assert sim.read(survivor, "splitter_tcp_checksum") + sim.read(survivor, "splitter_ip_checksum") > 0, "no corrupted frame reached the pair"
    assert sim.read(survivor, "director_traps") == 0
