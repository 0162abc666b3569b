"""Connections through failures in alternating units, each with a rejoin, in RTL; the monitor judges all frames."""
import pytest

from spps.gen import preset_params
from spps_sim.backend.simulation import Simulation
from spps_sim.campaign.scenario import Scenario
from spps_sim.checker.capture import to_frame
from spps_sim.checker.monitor import check
from spps_sim.checker.wire import END, FULL, STATE, parse_sync
from spps_sim.demo.python import Hosts
from spps_sim.network.simulated import SimulatedNetwork

pytestmark = pytest.mark.rtl

SETTLE, AWAY, JOIN = 40_000, 20_000, 60_000     # clocks: before a failure, of the failure, for the rejoin
LIMIT = 4_000_000


class Run:
    """A pair of preset tiny between Python endpoints, with all frames."""

    def __init__(self, connections, size, registers=None):
        params = preset_params("tiny")
        self.sim = Simulation.of(params)
        scenario = Scenario(mss=1460, registers={"window": min(65535, params.socket_bytes)} | (registers or {}))
        self.sim.configure(scenario.pair_registers())
        self.sim.step(5000)
        self.sim.pop_frames()
        self.net = SimulatedNetwork(self.sim, scenario.latency, seed=3)
        self.frames = []
        self.net.on_frame, self.net.on_mark = self._frame, lambda mark: None
        self.hosts = Hosts(self.net, scenario.peer_config(), 3, connections, size)

    def _frame(self, raw):
        frame = None if raw.err else to_frame(raw)
        if frame is not None:
            self.frames.append(frame)

    def run(self, clocks):
        self.net.run_until(self.sim.cycle + clocks)

    def says(self, unit, **expected):
        assert {name: self.sim.read(unit, name) for name in expected} == expected

    def protected(self, active):
        """The pair is protected, with everything that this says."""
        self.says(active, active=1, joined=1, resync=0, exposed=0, unprotected=0, lease_valid=1)
        self.says(1 - active, active=0, joined=1, exposed=0, fenced=0)
        assert self.sim.read(active, "in_use") == self.sim.read(1 - active, "in_use")

    def finish(self):
        """Every transfer ends with the right bytes, no violation; returns the sync frames."""
        end = self.sim.cycle + LIMIT
        while not self.hosts.over and self.sim.cycle < end:
            self.run(2000)
        self.run(20_000)
        results = [transfer.result() for transfer in self.hosts.transfers]
        assert results and all(result["ok"] for result in results), [r.get("error") for r in results]
        report = check(self.frames)
        assert not report.violations, report.violations[:5]
        return [sync for frame in self.frames if frame.link == "sync" and (sync := parse_sync(frame.data))]


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
