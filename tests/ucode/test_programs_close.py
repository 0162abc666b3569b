"""The program when connections end or do not begin: FINs, resets, refusals, timeouts, segments without a connection."""
import random

import pytest

from spps_sim.checker.wire import ACK, FIN, RST, SYN, parse_segment
from spps_sim.model.functional_pair import CLIENT_IP, VIP_0, VIP_1, FunctionalPair
from spps_sim.model.tcp_scenarios import RawClient, RawPeer, Transfer
from spps_sim.peers.frames import ip_number

PSH = 8


def raw(port=80, on_event=None, **kw):
    """A pair with a hand-played client; the list of the server's connections."""
    pair, accepted = FunctionalPair(**kw), []

    def event(connection, what):
        if what == "established":
            accepted.append(connection)
        if on_event:
            on_event(connection, what)
    pair.server.listen(80, event)
    return RawClient(pair, port=port), accepted


@pytest.mark.parametrize("close", ["client", "server", "both"])
def test_each_closing_segment_lost(close):
    count = Transfer(0, 0, close=close).run().pair.frames
    for n in range(1, count + 1):
        transfer = Transfer(0, 0, close=close, lose=lambda number, *_, n=n: number == n).run()
        assert not transfer.problems(), (n, transfer.problems())


def test_half_closed_connection_carries_data_the_other_way():
    client, accepted = raw()
    client.open()
    client.send(FIN | ACK)
    got = client.settle()
    client.nxt += 1
    assert got[-1].ack == client.nxt and accepted[0].fin_taken
    accepted[0].write(b"late" * 100)
    data = client.settle()
    assert b"".join(s.payload for s in data) == b"late" * 100
    client.rcv += 400
    client.send()
    client.settle()
    accepted[0].close()
    fin, = client.settle()
    assert fin.flags & FIN and fin.seq == client.rcv


def test_fin_is_acknowledged_only_when_the_destination_has():
    client, _ = raw(lose=lambda n, link, to_peer, data: link == 1 and to_peer and parse_segment(data).flags & FIN)
    client.open()
    client.send(FIN | ACK)
    assert client.settle() == []


def test_fin_in_time_wait_is_acknowledged_again_also_after_a_takeover():
    for takeover in (False, True):
        client, accepted = raw(on_event=lambda c, what: c.close() if what == "fin" else None)
        client.open()
        client.send(FIN | ACK)
        fin = [s for s in client.settle() if s.flags & FIN][-1]
        client.rcv, client.nxt = fin.seq + 1, client.nxt + 1
        client.send()
        client.settle()
        assert client.pair.active.flowstates[0][0] >> 7 & 1
        if takeover:
            client.pair.kill("record")
            client.settle()
        client.send(FIN | ACK, seq=client.nxt - 1)
        assert {(s.flags & ~PSH, s.ack) for s in client.settle()} == {(ACK, client.nxt)}
        client.pair.run(until=lambda client=client: client.pair.time > 10_000)
        assert not client.pair.active.in_use and not client.pair.active.keys


@pytest.mark.parametrize("side", ["client", "server"])
def test_reset_passes_to_the_other_leg(side):
    transfer = Transfer(up=50_000, down=50_000)
    pair = transfer.pair
    pair.run(until=lambda: transfer.server is not None and len(transfer.server.received) > 4000)
    first, second = (transfer.client, transfer.server) if side == "client" else (transfer.server, transfer.client)
    first.abort()
    pair.run()
    assert second.was("reset") and not second.fin_taken     # never a FIN in place of a RST
    assert not pair.units[0].in_use and not pair.units[0].keys and not pair.units[0].scratch
    assert not pair.units[1].in_use


def test_reset_must_be_exact():
    client, accepted = raw()
    client.open()
    client.send(RST, seq=client.nxt + 5)            # in the window: challenge (RFC 5961)
    challenge, = client.settle()
    assert challenge.flags == ACK and challenge.ack == client.nxt
    client.send(RST, seq=client.nxt - 5)
    client.send(RST, seq=client.nxt + 20_000)
    assert client.settle() == [] and not accepted[0].was("reset")
    client.send(SYN)
    assert client.settle()[0].flags == ACK          # SYN in a synchronized state: challenge
    client.send(RST)
    client.settle()
    assert accepted[0].was("reset")


def test_reset_that_answers_a_challenge_counts_while_data_is_withheld():
    client, accepted = raw(
        lose=lambda n, link, to_peer, data: link == 1 and to_peer and len(parse_segment(data).payload) > 0)
    client.open()
    client.send(payload=b"withheld")
    client.send(RST, seq=client.nxt + 500)
    challenge, = client.settle()
    client.send(RST, seq=challenge.ack)
    client.settle()
    assert not client.pair.active.in_use


@pytest.mark.parametrize("limit, count", [(0, 0), (3, 3), (15, 15), (16, 15), (0xFFFFFFFF, 15)])
def test_challenge_limit_is_a_register(limit, count):
    client, _ = raw(config={"challenge_limit": limit})
    client.open()
    for _ in range(50):
        client.send(RST, seq=client.nxt + 5)
    assert len(client.settle()) == count


def test_acks_out_of_range_are_challenged():
    client, accepted = raw()
    client.open()
    client.send(ack=client.rcv + 5000, payload=b"spoof")
    assert [s.flags for s in client.settle()] == [ACK] and not accepted[0].received
    client.send(ack=client.rcv - 100_000, payload=b"spoof")
    assert [s.flags for s in client.settle()] == [ACK] and not accepted[0].received


def test_refused_by_the_server():
    pair = FunctionalPair()
    client = pair.client.connect(VIP_0, 80)
    pair.run()
    assert client.was("refused") and not pair.units[0].in_use and not pair.units[0].keys


def test_client_reset_while_the_server_is_asked():
    pair = FunctionalPair(lose=lambda n, link, to_peer, data: link == 1)
    client = RawClient(pair)
    client.segment(client.sport, client.dst, seq=1000, flags=SYN)
    client.settle()
    client.segment(client.sport, client.dst, seq=1001, flags=RST)
    assert client.settle() == [] and not pair.units[0].in_use and not pair.units[0].keys


def test_syn_is_retransmitted_with_backoff_and_given_up():
    pair = FunctionalPair(lose=lambda n, link, to_peer, data: link == 1, config={"syn_retries": 3})
    client = RawClient(pair)
    client.segment(client.sport, client.dst, seq=1000, flags=SYN)
    client.segment(client.sport, client.dst, seq=1000, flags=SYN)       # ignored: ours is under way
    pair.run()
    syns = [f for f in pair.capture if f.unit == 0 and f.link == "server" and parse_segment(f.data)]
    gaps = [b.time - a.time for a, b in zip(syns, syns[1:])]
    assert len(syns) == 4 and all(b > 1.9 * a for a, b in zip(gaps, gaps[1:]))
    assert len({parse_segment(f.data).seq for f in syns}) == 1
    assert client.got[-1].flags == RST | ACK and client.got[-1].ack == 1001
    assert not pair.units[0].in_use and not pair.units[0].keys


def test_syn_ack_is_retransmitted_with_the_same_number():
    client, _ = raw()
    client.segment(client.sport, client.dst, seq=1000, flags=SYN)
    first, = client.settle()
    client.segment(client.sport, client.dst, seq=1000, flags=SYN)
    second, = client.settle()
    third = client.settle(1500)[0]
    assert first.seq == second.seq == third.seq and {first.flags, second.flags, third.flags} == {SYN | ACK}


def test_wrong_ack_in_syn_received_is_reset():
    client, _ = raw()
    client.segment(client.sport, client.dst, seq=1000, flags=SYN)
    answer, = client.settle()
    client.send(ack=answer.seq + 77, seq=1001)
    reset, = client.settle()
    assert reset.flags == RST and reset.seq == answer.seq + 77


@pytest.mark.parametrize("side", ["client", "server"])
def test_gives_up_a_dead_peer_and_resets_both(side):
    dead = {"client": 0, "server": 1}[side]
    transfer = Transfer(up=50_000, down=50_000, close="both", config={"retries": 4, "rto_max": 2000})
    pair = transfer.pair
    pair.run(until=lambda: transfer.server is not None and len(transfer.server.received) > 4000)
    pair.lose = lambda n, link, to_peer, data: link == dead
    pair.run(until=lambda: not pair.units[0].in_use)
    pair.run(until=lambda: transfer.client.was("reset") or transfer.server.was("reset"))
    assert (transfer.server if side == "client" else transfer.client).was("reset")


def test_retransmission_timer_doubles():
    client, accepted = raw(config={"retries": 4})
    client.open()
    accepted[0].write(b"never acknowledged")
    client.settle(30_000)
    times = [f.time for f in client.pair.capture if f.unit == 0 and f.link == "client" and parse_segment(f.data)
             and parse_segment(f.data).payload]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert len(times) == 5 and all(1.9 * a < b < 2.1 * a + 3 for a, b in zip(gaps, gaps[1:]))


def test_third_duplicate_ack_retransmits_at_once():
    client, accepted = raw(config={"mss": 500})
    client.open()
    accepted[0].write(bytes(3000))
    assert len(client.settle(30)) >= 5
    for _ in range(3):
        assert client.settle(12) == []
        client.send()
    again = client.settle(12)
    assert again[0].seq == client.rcv and len(again[0].payload) == 500


@pytest.mark.parametrize("flags, ack, expect", [
    (ACK, 500, (RST, 500, 0)), (SYN, 0, (RST | ACK, 0, 101 + 3)), (FIN, 0, (RST | ACK, 0, 101 + 3)),
    (0, 0, (RST | ACK, 0, 103)), (RST, 0, None), (RST | ACK, 5, None), (SYN | ACK, 77, (RST, 77, 0))])
@pytest.mark.parametrize("port, target", [(0, VIP_0), (1, VIP_1)])
def test_segment_without_a_connection(port, target, flags, ack, expect):
    pair = FunctionalPair(config={"listen_first": 1, "listen_last": 90})
    peer = RawPeer(pair, port, CLIENT_IP if port == 0 else "10.1.0.2", "02:00:00:00:00:77")
    peer.segment(5000, (ip_number(target), 99), seq=100, ack=ack, flags=flags, payload=b"abc")
    got = [(s.flags, s.seq, s.ack) for s in peer.settle()]
    assert got == ([expect] if expect else [])
    assert not pair.units[0].in_use and not pair.units[0].keys and not pair.units[0].scratch


@pytest.mark.parametrize("port, target, answered", [(0, VIP_0, True), (1, VIP_1, True), (0, VIP_1, False),
                                                    (1, VIP_0, False), (0, "10.0.0.9", False)])
def test_arp(port, target, answered):
    pair = FunctionalPair()
    peer = RawPeer(pair, port, "10.0.0.7", "02:00:00:00:00:77")
    peer.arp(target)
    peer.settle()
    assert [(a.operation, a.sender_mac, a.sender_ip, a.target_ip) for a in peer.replies] == (
        [(2, pair.units[0].mac, ip_number(target), peer.ip)] if answered else [])


def test_records_that_cannot_be_issued_are_issued_later_and_nothing_leaves_before():
    transfer = Transfer(up=20_000, down=20_000, close="both")
    unit = transfer.pair.units[0]
    dice = random.Random(1)
    run = unit.run

    def unready(fields):
        unit.sync_ready = int(dice.random() < 0.3)
        return run(fields)
    unit.run = unready
    transfer.run().check()


def test_reset_waits_for_its_record():
    client, accepted = raw()
    client.open()
    unit = client.pair.units[0]
    unit.sync_ready = 0
    client.send(RST)
    client.settle(30)
    assert unit.in_use and not accepted[0].was("reset")
    unit.sync_ready = 1
    client.settle(30)
    assert not unit.in_use and accepted[0].was("reset")
