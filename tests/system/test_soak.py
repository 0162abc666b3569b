"""A thousand connections one after the other through the RTL pair: at the end nothing is left of any of them."""
import random
from collections import Counter

import pytest

from spps_sim.backend.interface import FrameKind
from spps_sim.campaign.scenario import CLIENT, SERVER, SERVER_MAC, VIP, Scenario
from spps_sim.checker.capture import to_frame
from spps_sim.checker.monitor import check
from spps_sim.network.simulated import SimulatedNetwork
from spps_sim.peers import Endpoint, State

CYCLES, AT_ONCE = 1000, 4
#: how a connection ends -> how many of ten
ENDINGS = Counter({"client": 4, "server": 2, "both": 2, "client aborts": 1, "server aborts": 1})
NUMBER = 4              # bytes in front of the client's stream: which connection this is
TIMEOUT = 200_000       # cycles a connection may take
#: status of an idle unit; `free_pages` is added by the test
IDLE = {"in_use": 0, "timers_armed": 0, "gate_level": 0, "event_level": 0}


class Churn:
    """Opens and closes connections, AT_ONCE at a time; each carries up to three segments each way."""

    def __init__(self, sim, scenario, seed):
        self.random = random.Random(f"churn/{seed}")
        self.net = SimulatedNetwork(sim, scenario.latency, seed=seed)
        self.frames = []
        self.net.on_frame = self.frames.append
        self.client = Endpoint("client", "02:00:00:00:00:0c", CLIENT, scenario.peer_config(), seed)
        self.server = Endpoint("server", SERVER_MAC, SERVER, scenario.peer_config(), seed)
        self.net.attach(0, self.client)
        self.net.attach(1, self.server)
        self.server.listen(80, self._serve)
        self.plans, self.done, self.problems, self.endings = {}, 0, [], Counter()

    def _payload(self):
        return self.random.randbytes(self.random.choice((0, 1, 100, 536, 1200)))

    def _start(self):
        number, ending = sum(self.endings.values()), self.random.choice(sorted(ENDINGS.elements()))
        self.endings[ending] += 1
        plan = {"ending": ending, "up": number.to_bytes(NUMBER, "big") + self._payload(), "server": None,
                # who aborts has heard of the other before
                "down": b"!" * (ending == "client aborts") + self._payload(), "since": self.net.time}
        self.plans[number] = plan
        plan["client"] = self.client.connect(VIP[0], 80, local_port=50_000 + number % 2000,
                                             on_event=lambda client, what: self._happened(client, what, plan, "client"))

    def _serve(self, connection, what):
        """The client's first bytes say which of its connections this is."""
        plan = next((p for p in self.plans.values() if p["server"] is connection), None)
        if plan is None and len(connection.received) >= NUMBER:
            plan = self.plans[int.from_bytes(connection.received[:NUMBER], "big")]
            plan["server"] = connection
            self._happened(connection, "established", plan, "server")
        if plan is not None:
            self._happened(connection, what, plan, "server")

    @staticmethod
    def _happened(connection, what, plan, side):
        mine, theirs = (plan["up"], plan["down"]) if side == "client" else (plan["down"], plan["up"])
        if what == "established":
            connection.write(mine)
            if plan["ending"] in (side, "both"):
                connection.close()
        elif what == "fin":
            connection.close()
        if (plan["ending"] == f"{side} aborts" and connection.state is State.ESTABLISHED
                and len(connection.received) == len(theirs)):
            connection.abort()

    # one after the other ---------------------------------------------------------------------
    def run(self, cycles):
        while self.done < cycles:
            while len(self.plans) < AT_ONCE and sum(self.endings.values()) < cycles:
                self._start()
            self.net.run_until(self.net.time + 500)
            self._collect()

    def _collect(self):
        for number, plan in list(self.plans.items()):
            client, server = plan["client"], plan["server"]
            if client.state is State.CLOSED and (server is None or server.state is State.CLOSED):
                self._judge(client, server, plan)
                del self.plans[number]
                self.done += 1
            elif self.net.time > plan["since"] + TIMEOUT:
                raise TimeoutError(
                    f"{plan['ending']}: client {client.state}, server {server and server.state}; {client.history[-4:]}")
        mine = [connection for plan in self.plans.values() for connection in (plan["client"], plan["server"])]
        for peer in (self.client, self.server):     # what is over need not be asked for its deadline for ever
            for key in [k for k, c in peer.connections.items() if c.state is State.CLOSED and c not in mine]:
                del peer.connections[key]

    def _judge(self, connection, server, plan):
        if server is None:
            self.problems.append(f"{plan['ending']}: never reached the server, {connection.history}")
            return
        for name, one, theirs in (("client", connection, plan["down"]), ("server", server, plan["up"])):
            if "aborts" not in plan["ending"]:
                if bytes(one.received) != theirs or not one.finished:
                    self.problems.append(
                        f"{plan['ending']}: {name} {one.history}, {len(one.received)} of {len(theirs)} bytes")
            elif not (one.was("abort") or one.was("reset")):
                self.problems.append(f"{plan['ending']}: {name} was not told, {one.history}")


@pytest.mark.slow
def test_a_thousand_connections_leave_nothing_behind():
    scenario = Scenario(registers={"msl": 10, "window": 4096})
    sim = scenario.simulation()
    sim.configure(scenario.pair_registers())
    sim.step(5000)
    sim.pop_frames()
    # while the units get the key, one after the other, a sync frame is refused
    before = [sim.counters(unit) for unit in (0, 1)]
    churn = Churn(sim, scenario, seed=1)
    churn.client.config.msl = churn.server.config.msl = 500
    churn.run(CYCLES)
    assert churn.problems == [], churn.problems[:5]
    assert set(churn.endings) == set(ENDINGS)
    churn.net.run_until(churn.net.time + 10_000)        # the last TIME-WAITs

    report = check([f for raw in churn.frames if not raw.err and (f := to_frame(raw))])
    assert report.ok, report.violations[:5]
    assert report.connections == CYCLES and report.checks["I1"] >= 2 * CYCLES, report.checks
    status, idle = sim.status(), IDLE | {"free_pages": sim.params.scratch_pages}
    counters = [sim.counters(unit) for unit in (0, 1)]
    for unit, count in enumerate(counters):
        assert {name: count[name] for name in idle} == idle, f"unit {unit}"
        assert status[f"delivered_{unit}"] == status[f"done_{unit}"]
        faults = {name: n - before[unit][name] for name, n in count.items()
                  if "_bad_" in name or name.endswith(("traps", "missing", "_error", "malformed"))}
        assert len(faults) > 5, f"these counters have other names now; found {sorted(faults)}"
        broken = {name: n for name, n in faults.items() if n}
        assert not broken, f"unit {unit}: {broken}"
    active, standby = counters
    assert active["lookup_created"] == active["director_closed"] == CYCLES
    assert active["issued"] == active["confirmed"] == standby["failover_applied"]
    frames = sum(raw.kind is FrameKind.IN for raw in churn.frames)
    drops = sum(n for name, n in active.items()
                if name.startswith("splitter_") and name not in ("splitter_frames", "splitter_events"))
    assert active["splitter_frames"] == frames == active["splitter_events"] + drops and drops == 0
    left = active["egress_frames"] + active["egress_announcements"] - before[0]["egress_announcements"]
    assert left == sum(raw.kind is FrameKind.OUT for raw in churn.frames)
    assert active["scratchpad_packets"] == active["socket_copies"] + active["socket_releases"]
    print(f"{CYCLES} connections in {sim.cycle} cycles: {dict(churn.endings)}")
