"""Frames without a gap: bursts of the smallest frames and of mixed ones, on several connections, from both sides."""
import random

import pytest

from spps_sim.backend.interface import FrameKind
from spps_sim.campaign.scenario import CLIENT, SERVER, SERVER_MAC, VIP, Scenario
from spps_sim.checker.capture import to_frame
from spps_sim.checker.monitor import check
from spps_sim.network.simulated import SimulatedNetwork
from spps_sim.peers import Endpoint, TcpConfig

CONNECTIONS, PIECES, BURSTS = 4, 60, 2
MINIMUM = 60            # bytes of the smallest frame, without FCS
#: name -> bytes of each segment
SIZES = {"smallest": lambda rng: rng.randrange(1, 7), "mixed": lambda rng: rng.choice((1, 6, 7, 64, 200, 536))}


class Talk:
    """One connection; each side writes bursts of pieces, each piece at once, so that each is a segment of its own."""

    def __init__(self, net, client, server, rng, size):
        self.rng, self.size = rng, size
        self.sent = {"client": b"", "server": b""}
        self.server = None
        self.client = client.connect(VIP[0], 80, on_event=lambda *_: None)

    def burst(self):
        for side, connection in (("client", self.client), ("server", self.server)):
            for _ in range(PIECES):
                piece = self.rng.randbytes(self.size(self.rng))
                self.sent[side] += piece
                connection.write(piece)

    def idle(self):
        return bytes(self.server.received) == self.sent["client"] and bytes(self.client.received) == self.sent["server"]

    def acked(self):
        return self.idle() and all(c.snd_una == c.nxt for c in (self.client, self.server))


@pytest.mark.slow
@pytest.mark.parametrize("sizes", SIZES)
def test_bursts_without_a_gap_lose_nothing_but_what_is_counted(sizes):
    scenario = Scenario()
    sim, rng = scenario.simulation(), random.Random(f"gap/{sizes}")
    sim.configure(scenario.pair_registers())
    sim.step(5000)
    sim.pop_frames()
    net, frames = SimulatedNetwork(sim, scenario.latency), []
    net.on_frame = frames.append
    config = TcpConfig(mss=536, rto_initial=60_000, rto_min=60_000, initial_window=1000)
    client, server = Endpoint("client", "02:00:00:00:00:0c", CLIENT,
                              config), Endpoint("server", SERVER_MAC, SERVER, config)
    net.attach(0, client)
    net.attach(1, server)
    accepted = []
    server.listen(80, lambda connection, what: accepted.append(connection) if what == "established" else None)
    talks = []
    # one by one, so that the server's connections are known by their order
    for _ in range(CONNECTIONS):
        talks.append(Talk(net, client, server, rng, SIZES[sizes]))
        assert net.run_until(net.time + 20_000, lambda: len(accepted) == len(talks)), "no connection"
        talks[-1].server = accepted[-1]
    net.run_until(net.time + 5000)

    for _ in range(BURSTS):
        for talk in talks:
            talk.burst()
        assert net.run_until(net.time + 1_500_000, lambda: all(talk.acked() for talk in talks)), "bytes are missing"
    net.run_until(net.time + 5000)

    came = [raw for raw in frames if raw.kind is FrameKind.IN]
    together = sum(after.start - before.cycle == 1 for before, after in zip(came, came[1:]))
    assert together > BURSTS * CONNECTIONS * PIECES, f"only {together} frames followed another without a gap"
    if sizes == "smallest":
        assert sum(len(raw.data) == MINIMUM for raw in came) > BURSTS * CONNECTIONS * PIECES
    report = check([f for raw in frames if not raw.err and (f := to_frame(raw))])
    assert report.ok, report.violations[:5]
    assert report.connections == CONNECTIONS and report.checks["I3"] > 200, report.checks
    counters = sim.counters(0)
    dropped = {name: n for name, n in counters.items() if name.startswith(("splitter_", "sink_")) and n
               and name not in ("splitter_frames", "splitter_events", "sink_packets")}
    assert len(came) == counters["splitter_events"] + sum(dropped.values())
    assert set(dropped) <= {"splitter_scratchpad_full", "sink_overflow"}, dropped
    retransmitted = sum(c.counters["retransmitted"] for talk in talks for c in (talk.client, talk.server))
    assert counters["free_pages"] == sim.params.scratch_pages and counters["gate_level"] == 0
    print(f"{sizes}: {len(came)} frames in, {together} without a gap, dropped {dropped}, retransmitted {retransmitted}")
