"""Endpoint mode: echo and discard."""
import pytest

from spps_sim.checker.wire import parse_segment
from spps_sim.model.functional_pair import VIP_0, VIP_1, FunctionalPair


def run(port, size, *, side=0, close=True, **kw):
    pair = FunctionalPair(standby=False, config={"mode": 0} | kw.pop("config", {}), **kw)
    data = bytes(i * 7 & 255 for i in range(size))

    def event(connection, what):
        if what == "established":
            connection.write(data)
            if close:
                connection.close()
    connection = pair.peers[side].connect((VIP_0, VIP_1)[side], port, on_event=event)
    pair.run()
    return pair, connection, data


@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize("size", [0, 1, 1460, 60_000])
def test_echo(side, size):
    pair, connection, data = run(7, size, side=side)
    assert bytes(connection.received) == data and connection.finished
    assert not pair.units[0].in_use and not pair.units[0].keys and not pair.units[0].scratch
    assert not connection.ack_regressions and not connection.edge_regressions


@pytest.mark.parametrize("size", [0, 1, 60_000])
def test_discard(size):
    pair, connection, _ = run(9, size)
    assert not connection.received and connection.finished and not pair.units[0].in_use
    assert not connection.edge_regressions


@pytest.mark.parametrize("port", [7, 9])
def test_each_segment_lost_once(port):
    count = run(port, 5000)[0].frames
    for n in range(1, count + 1):
        pair, connection, data = run(port, 5000, lose=lambda number, *_, n=n: number == n)
        assert connection.finished and bytes(connection.received) == (data if port == 7 else b""), n
        assert not pair.units[0].in_use


def test_echo_window_is_bounded_while_the_peer_does_not_read():
    pair = FunctionalPair(standby=False, config={"mode": 0, "window": 4096})
    connection = pair.client.connect(VIP_0, 7,
                                     on_event=lambda c, what: c.write(bytes(50_000)) if what == "established" else None)
    connection.reading = False
    pair.run(until=lambda: pair.time > 50_000)
    assert len(connection.received) <= 8192 and connection.snd_una <= 8192 + 4096 + 1
    connection.reading = True
    connection.read()
    pair.run(until=lambda: len(connection.received) == 50_000)


@pytest.mark.parametrize("port, config", [(8, {}), (7, {"echo_port": 1007}), (9, {"discard_port": 70_000})])
def test_other_ports_are_refused(port, config):
    pair, connection, _ = run(port, 10, config=config)
    assert connection.was("refused") and not pair.units[0].in_use and not pair.units[0].keys


def test_ports_are_registers():
    config = {"echo_port": 1007, "discard_port": 7}
    _, connection, data = run(1007, 5000, config=config)
    assert bytes(connection.received) == data and connection.finished
    _, connection, _ = run(7, 5000, config=config)
    assert not connection.received and connection.finished


def test_outputs_are_not_gated():
    pair, _, _ = run(7, 5000)
    assert not any(o.flags & 1 for o in pair.units[0].log) and pair.units[0].issued == 0
    assert all(parse_segment(f.data) is None or not parse_segment(f.data).problems for f in pair.capture)


@pytest.mark.parametrize("port", [7, 9])
def test_idle_connection_without_keepalive_has_no_timer(port):
    pair, _, _ = run(port, 100, close=False, config={"keepalive": 0})
    assert pair.units[0].in_use and pair.units[0].deadline() is None
