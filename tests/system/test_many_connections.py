"""More than 256 connections at a time through the RTL pair, whose program is another one, and a takeover."""

from dataclasses import replace

import pytest

from spps.mmc import register_addresses
from spps.params import TINY
from spps_sim.backend.simulation import Simulation
from spps_sim.backend.verilated import VerilatedPair, build_library, pair_verilog
from spps_sim.campaign.scenario import CLIENT, SERVER, SERVER_MAC, TIMEOUTS, VIP, Scenario
from spps_sim.checker.capture import to_frame
from spps_sim.checker.monitor import check
from spps_sim.live.connections import read_connections
from spps_sim.network.simulated import SimulatedNetwork
from spps_sim.peers import Endpoint

# one core and short compilation: the run is short
MANY = TINY.replace(name="many", connections=512, cores=1, pool_pages=(2048, 0, 0, 0))
OPEN, BATCH = 264, 8
LIMIT = 2_000_000  # cycles a batch may take
PATIENCE = 20  # times the timeouts of a scenario: after the takeover 264 connections wait for one core


class _Pair:
    """The active unit of a simulation, as `read_connections` wants it."""

    def __init__(self, sim, net):
        self.sim, self.net, self.params = sim, net, sim.params

    def unit(self, _name="active"):
        return self.sim.active()

    active = unit

    def turn(self):
        self.net.run_until(self.sim.cycle + 100)


@pytest.mark.slow
def test_more_than_256_connections_live_at_a_time_and_survive_a_takeover():
    scenario = Scenario()
    sim = Simulation(VerilatedPair(build_library(pair_verilog(MANY))), register_addresses(MANY), MANY)
    times = {name: cycles * PATIENCE for name, cycles in TIMEOUTS.items()}
    sim.configure(scenario.pair_registers() | {name: cycles // scenario.tick for name, cycles in times.items()})
    sim.step(10_000)
    sim.pop_frames()
    net = SimulatedNetwork(sim, scenario.latency)
    frames = []
    net.on_frame = frames.append
    client, server = (
        Endpoint(name, mac, address, replace(scenario.peer_config(), **times), 1)
        for name, mac, address in (("client", "02:00:00:00:00:0c", CLIENT), ("server", SERVER_MAC, SERVER))
    )
    net.attach(0, client)
    net.attach(1, server)
    server.listen(
        80, lambda connection, what: connection.write(bytes(connection.received)) if what == "data" else None
    )
    running = []

    def wait(done):
        assert net.run_until(sim.cycle + LIMIT, lambda: all(map(done, running))), [
            c.history[-3:] for c in running if not done(c)
        ][:3]

    for first in range(0, OPEN, BATCH):
        for number in range(first, first + BATCH):
            request = f"request {number}".encode()
            connection = client.connect(
                VIP[0],
                80,
                local_port=20_000 + number,
                on_event=lambda c, what, r=request: c.write(r) if what == "established" else None,
            )
            connection.request = request
            running.append(connection)
        wait(lambda c: bytes(c.received) == c.request)
    assert sim.read(0, "in_use") == OPEN
    unit, listed = read_connections(_Pair(sim, net))
    assert (
        unit == 0
        and len(listed) == OPEN
        and all(c.protected and c.client.state == c.server.state == "ESTABLISHED" for c in listed)
    )
    assert [c.bytes_up for c in listed] == [c.bytes_down for c in listed] and sum(c.bytes_up for c in listed) == sum(
        len(c.request) for c in running
    )
    ports = {c.server.local: 0x8000 | c.number for c in listed}
    assert list(ports) == [f"{VIP[1]}:{port}" for port in ports.values()], "the port towards the server is the id"

    sim.kill(0)
    for first in range(0, OPEN, BATCH):  # the first are sent before the takeover
        for connection in running[first : first + BATCH]:
            connection.write(b"!")
        wait(lambda c, batch=running[: first + BATCH]: c not in batch or c.received.endswith(b"!"))
    assert sim.active() == 1 and not any(c.was("reset") for c in running)
    assert sim.read(1, "in_use") == OPEN and len(read_connections(_Pair(sim, net))[1]) == OPEN
    report = check([frame for raw in frames if not raw.err and (frame := to_frame(raw))])
    assert report.ok, report.violations[:5]
    assert report.connections == OPEN
