"""A pair of preset tiny between Python endpoints, with everything that its failures leave behind."""
from dataclasses import replace

from spps.gen import preset_params
from spps_sim.backend.simulation import Simulation
from spps_sim.campaign.scenario import Scenario
from spps_sim.checker.capture import to_frame
from spps_sim.checker.monitor import check
from spps_sim.checker.wire import parse_sync
from spps_sim.demo.python import Hosts
from spps_sim.network.simulated import SimulatedNetwork

SETTLE, AWAY, JOIN = 40_000, 20_000, 60_000     # clocks: before a failure, of the failure, for the rejoin
LIMIT = 4_000_000


class Run:
    """A pair of preset tiny between Python endpoints, with all frames."""

    def __init__(self, connections, size, registers=None, rto=None):
        params = preset_params("tiny")
        self.sim = Simulation.of(params)
        rto = rto or {}         # of peers and pair, cycles
        scenario = Scenario(mss=1460, registers={"window": min(65535, params.socket_bytes)} | (registers or {}))
        scenario = replace(scenario, registers=scenario.registers | {
            name: cycles // scenario.tick for name, cycles in rto.items()})
        self.sim.configure(scenario.pair_registers())
        self.sim.step(5000)
        self.sim.pop_frames()
        self.net = SimulatedNetwork(self.sim, scenario.latency, seed=3)
        self.frames = []
        self.net.on_frame, self.net.on_mark = self._frame, lambda mark: None
        self.hosts = Hosts(self.net, replace(scenario.peer_config(), **rto), 3, connections, size)

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

    def until_joined(self, limit=JOIN):
        """Run until both units say that the standby has every connection; return the number of the active one.

        On a link that loses frames a standby may be lost and join again at any time, or take over when several
        heartbeats in a row are lost. AssertionError after `limit` clocks.
        """
        end = self.sim.cycle + limit
        while True:
            active = self.sim.active()
            try:
                assert active is not None, "no unit is active"
                self.says(active, active=1, joined=1, unprotected=0, resync=0, exposed=0)
                self.says(1 - active, active=0, joined=1, fenced=0)
                return active
            except AssertionError:
                if self.sim.cycle > end:
                    raise
            self.run(500)

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
