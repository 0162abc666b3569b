"""Python TCP peers against each other over a simulated wire, without any RTL."""
import random

import pytest

from spps_sim.network.links import LinkFaults
from spps_sim.network.simulated import SimulatedNetwork, Wire
from spps_sim.peers import Endpoint, State, TcpConfig


class Pair:
    """A client and a server on a wire; the server sends `down`, each side closes after its data."""

    def __init__(self, up, down, faults=None, seed=1, client=None, server=None, close="client"):
        self.net = SimulatedNetwork(Wire(), latency=500, faults=faults, seed=seed)
        self.client = Endpoint("client", "02:00:00:00:00:0c", "10.0.0.2", client, seed)
        self.server = Endpoint("server", "02:00:00:00:00:05", "10.0.0.3", server, seed)
        self.net.attach(0, self.client)
        self.net.attach(1, self.server)
        self.up, self.down = up, down
        self.accepted = []
        self.server.listen(80, self._serve)
        self.connection = self.client.connect("10.0.0.3", 80, on_event=self._client)
        self.close = close

    def _serve(self, connection, what):
        if what == "established":
            self.accepted.append(connection)
            connection.write(self.down)
            if self.close in ("server", "both"):
                connection.close()
        elif what == "fin":
            connection.close()

    def _client(self, connection, what):
        if what == "established":
            connection.write(self.up)
            if self.close in ("client", "both"):
                connection.close()
        elif what == "fin":
            connection.close()

    def done(self):
        return self.connection.state is State.CLOSED and all(c.state is State.CLOSED
                                                             for c in self.server.all_connections())

    def run(self, limit=50_000_000):
        assert self.net.run_until(limit, self.done), (self.connection.history, self.connection.state)
        (server,) = self.accepted
        assert bytes(server.received) == self.up and bytes(self.connection.received) == self.down
        assert self.connection.finished and server.finished
        for side in (self.connection, server):
            assert not side.queue.conflicts and len(side.fin_numbers) == 1 and not side.was("reset")
        return server


def data(length, seed=0):
    return random.Random(seed).randbytes(length)


@pytest.mark.parametrize("close", ["client", "server", "both"])
def test_transfers_both_ways_and_closes_to_the_end_of_time_wait(close):
    pair = Pair(data(30_000, 1), data(20_000, 2), close=close)
    pair.run()
    assert pair.connection.counters["retransmitted"] == 0
    assert pair.connection.was("time_wait") or pair.accepted[0].was("time_wait")


@pytest.mark.parametrize("seed", range(40))
def test_streams_survive_loss_reordering_duplication_and_corruption(seed):
    faults = LinkFaults(loss=0.08, duplicate=0.05, reorder=0.15, corrupt=0.03)
    pair = Pair(data(12_000, seed), data(15_000, seed + 1), faults, seed, TcpConfig(msl=2_000_000),
                TcpConfig(msl=2_000_000), ("client", "server", "both")[seed % 3])
    pair.run()
    assert sum(pair.net.link.fates.values()) > 0


def test_is_deterministic_for_a_seed():
    faults = LinkFaults(loss=0.1, reorder=0.1)
    runs = [Pair(data(8000), data(8000), faults, 5) for _ in range(2)]
    assert [(r.run(), r.connection.history, r.net.time)[1:]
            for r in runs][0] == (runs[1].connection.history, runs[1].net.time)


def test_uses_window_scale_only_when_both_offer_it():
    pair = Pair(data(100), data(100), client=TcpConfig(wscale=3, window=200_000), server=TcpConfig(wscale=2))
    server = pair.run()
    assert (server.snd_shift, server.rcv_shift) == (3, 2) and server.max_wnd > 65535
    pair = Pair(data(100), data(100), client=TcpConfig(wscale=3))
    server = pair.run()
    assert (server.snd_shift, pair.connection.rcv_shift) == (0, 0)


def test_never_sends_more_than_the_peers_mss():
    pair = Pair(data(10_000), b"x", client=TcpConfig(mss=1460), server=TcpConfig(mss=400))
    sizes = []
    pair.net.on_wire = lambda time, port, what, frame: sizes.append(len(frame))
    pair.run()
    assert max(sizes) == 14 + 20 + 20 + 400


def test_recovers_one_loss_by_fast_retransmit_without_timeout():
    pair = Pair(data(20_000), b"")
    send, count = pair.client._send, [0]

    def lossy(frame):
        count[0] += len(frame) > 1000
        if count[0] != 4 or len(frame) < 1000:
            send(frame)
    pair.client.arp._send = lossy
    pair.run()
    assert pair.connection.counters["fast_retransmits"] == 1 and pair.connection.counters["timeouts"] == 0


def test_probes_a_closed_window_and_goes_on_when_it_opens():
    pair = Pair(data(9000), b"", server=TcpConfig(window=2000))
    serve = pair._serve

    def slow(connection, what):
        if what == "established":
            connection.reading = False
        serve(connection, what)
    pair.server.listen(80, slow)
    for _ in range(60):
        pair.net.run_until(pair.net.time + 100_000)
        for connection in pair.accepted:
            assert connection.queue.next - connection.consumed <= 2000
            connection.read()
    pair.run()
    assert pair.connection.counters["probes"] > 0


def test_reset_reaches_the_peer_and_is_no_clean_end():
    pair = Pair(data(5000), data(5000), close="never")
    pair.net.run_until(20_000)
    pair.connection.abort()
    pair.net.run_until(100_000)
    (server,) = pair.accepted
    assert server.was("reset") and not server.finished


def test_closed_port_refuses_with_a_reset():
    pair = Pair(b"", b"")
    refused = pair.client.connect("10.0.0.3", 81)
    pair.net.run_until(100_000)
    assert refused.was("refused") and pair.server.counters["resets_sent"] == 1


def test_gives_up_after_the_configured_retries():
    pair = Pair(data(1000), b"", client=TcpConfig(retries=3, rto_max=50_000))
    pair.net.run_until(3_000)
    pair.net.link.faults = LinkFaults(loss=1.0)
    pair.net.run_until(3_000_000)
    assert pair.connection.was("timeout") and pair.connection.counters["timeouts"] == 4


def test_answers_arp_and_keeps_frames_while_resolving():
    pair = Pair(b"abc", b"def")
    pair.run()
    assert pair.client.arp.known[pair.server.ip] == pair.server.mac
    assert pair.server.arp.known[pair.client.ip] == pair.client.mac and not pair.client.arp.changes


def test_connections_to_one_port_come_from_ports_of_their_own():
    pair = Pair(b"", b"")
    ports = {pair.client.connect("10.0.0.3", 80).local for _ in range(400)}
    assert len(ports | {pair.connection.local}) == 401
