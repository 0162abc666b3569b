"""Cores that die and programs that change under traffic, on the RTL pair of two clusters: no connection notices.

Python peers in simulated time, so that every run repeats. One build of the pair serves all tests.
"""
from dataclasses import replace
from functools import cache

import pytest

from spps.gen import preset_params
from spps.mmc import register_addresses
from spps.ucode.asm import assemble
from spps.ucode.programs import MAIN
from spps_sim.backend.reprogram import Reprogram
from spps_sim.backend.simulation import Simulation
from spps_sim.backend.verilated import VerilatedPair, build_library, pair_verilog
from spps_sim.campaign.scenario import Scenario
from spps_sim.checker.capture import to_frame
from spps_sim.checker.monitor import check
from spps_sim.demo.python import NUMBER, Hosts
from spps_sim.network.simulated import SimulatedNetwork

pytestmark = pytest.mark.slow

DUO = preset_params("duo")
SLICE, LIMIT = 2000, 12_000_000
REGISTERS = {"watchdog": 5000, "window": 8192}
_REGISTER_MAP = register_addresses(DUO)


@cache
def library():
    return build_library(pair_verilog(DUO))


class Run:
    """Transfers through a fresh pair. step() lets time pass; finish() runs to the end and judges.

    patience: every retransmission timeout, of peers and pair, is that many times longer: many connections wait for one
    another.
    """

    def __init__(self, *, connections=2, size=20_000, seed=1, patience=1):
        self.sim = sim = Simulation(VerilatedPair(library()), _REGISTER_MAP, DUO)
        scenario = Scenario(preset="duo", mss=1000, registers=REGISTERS)
        times = {name: getattr(scenario.peer_config(), name) * patience
                 for name in ("rto_initial", "rto_min", "rto_max")}
        sim.configure(scenario.pair_registers() | {name: value // scenario.tick for name, value in times.items()})
        sim.step(5000)
        sim.pop_frames()
        self.net = SimulatedNetwork(sim, scenario.latency, seed=seed)
        self.frames = []
        self.net.on_frame = self.frames.append
        self.hosts = Hosts(self.net, replace(scenario.peer_config(), **times), seed, connections, size)
        self.connections, self.total = connections, 2 * connections * size
        self.unit = 0

    @property
    def progress(self):
        return sum(t.progress for t in self.hosts.transfers)

    def step(self, cycles=SLICE):
        self.net.run_until(self.sim.cycle + cycles)

    def run_to(self, share, grain=SLICE):
        """Until a share of all bytes has arrived."""
        while self.progress < share * self.total:
            assert self.sim.cycle < LIMIT, f"{self.progress} of {self.total} bytes"
            self.step(grain)

    def read(self, name):
        return self.sim.read(self.unit, name)

    def finish(self):
        while not (self.hosts.over and self.read("in_use") == 0):
            assert self.sim.cycle < LIMIT, [t.result() for t in self.hosts.transfers if not t.result()["ok"]]
            self.step()
        results = [t.result() for t in self.hosts.transfers]
        assert all(r["ok"] and r["received_sha256"] == r["expected_sha256"] for r in results), results
        assert len(results) == 2 * self.connections and self.progress == self.total + NUMBER * self.connections, results
        report = check([f for raw in self.frames if not raw.err and (f := to_frame(raw))])
        assert report.ok, report.violations[:5]
        assert report.connections == self.connections and report.checks["I1"] >= 2 * self.connections, report.checks
        assert self.read("free_pages") == DUO.scratch_pages and self.read("gate_level") == 0
        assert [self.read(f"outstanding_{core}") for core in range(DUO.total_cores)] == [0] * DUO.total_cores
        return results


@pytest.mark.parametrize("core", [0, 1])
@pytest.mark.parametrize("late", range(0, 900, 180))
def test_a_core_stuck_in_a_transfer_is_fenced_and_its_flows_go_on(core, late):
    run = Run(seed=late)
    run.run_to(0.3)
    run.step(late + 1)
    run.sim.write(run.unit, "fault_stuck", 1 << core)
    run.finish()
    assert run.read("fenced_cores") == 1 << core and run.read("director_fences") == 1
    assert run.read("director_traps") >= 1
    print({name: run.read(name)
           for name in ("director_traps", "director_restarted", f"cluster_{core}_voided", f"cluster_{core}_released")})


def test_twenty_connections_survive_the_death_of_a_core():
    run = Run(connections=20, size=12_000, patience=10)
    run.run_to(0.3)
    run.sim.write(run.unit, "fault_stuck", 1)
    run.finish()
    assert run.read("fenced_cores") == 1 and run.read("director_restarted") >= 1


def test_connections_that_open_on_a_dying_core_open_again():
    run = Run(connections=6, size=3000)
    run.sim.write(run.unit, "fault_stuck", 1)
    run.finish()
    assert run.read("director_purged") >= 1


def test_a_fence_can_be_lifted():
    run = Run(size=40_000)
    run.run_to(0.2)
    run.sim.write(run.unit, "fault_stuck", 1)
    while not run.read("fenced_cores"):
        run.step(500)
    run.sim.write(run.unit, "fault_stuck", 0)
    run.sim.write(run.unit, "fence_lift", 1)
    run.run_to(0.4)
    assert run.read("fenced_cores") == 0
    before = run.read("cluster_0_core0_events")
    run.finish()
    assert run.read("cluster_0_core0_events") > before + 20


def clocks_per_event(run, since=None):
    """Mean of each cluster, and what to give as `since` next time."""
    now = [(run.read(f"cluster_{n}_core0_busy_cycles"), run.read(f"cluster_{n}_core0_events"))
           for n in range(DUO.clusters)]
    then = since or [(0, 0)] * DUO.clusters
    return [(b - b0) / max(1, e - e0) for (b, e), (b0, e0) in zip(now, then)], now


def slow_program():
    """The program with a loop of a hundred turns in every event that leaves the fast path."""
    source = MAIN.read_text()
    assert source.count("\ngeneral:\n") == 1
    loop = "        li      r1, 100\nslowly: subi    r1, r1, 1\n        bnez    r1, slowly\n"
    return assemble(source.replace("\ngeneral:\n", "\ngeneral:\n" + loop), include_dirs=[MAIN.parent],
                    imem_words=DUO.imem_words)


def test_a_new_program_goes_into_both_clusters_under_traffic():
    run = Run(connections=4, size=60_000)
    run.run_to(0.2)
    fast, mark = clocks_per_event(run)
    swap = Reprogram(run.sim, run.unit, slow_program())
    seen = []
    for _ in swap:
        run.step()
        seen.append(run.progress)
    assert [s.cluster for s in swap.clusters] == [0, 1] and seen[-1] > seen[0] and seen[-1] < run.total, (
        "traffic during the swap")
    _, mark = clocks_per_event(run)
    run.run_to(0.9)
    slow, _ = clocks_per_event(run, mark)
    print(swap.clusters, fast, slow)
    run.finish()
    assert run.read("director_traps") == 0 and run.read("director_no_core") == 0
    assert all(s > f + 50 for f, s in zip(fast, slow)), "both clusters run the new program"
