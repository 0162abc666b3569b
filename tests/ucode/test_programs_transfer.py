"""The program without failures of a unit: data both ways, lost segments, windows, options, independence of garbage."""
import pytest

from spps_sim.checker.wire import ACK, FIN, SYN, parse_segment
from spps_sim.model.functional_pair import FunctionalPair
from spps_sim.model.tcp_scenarios import RawClient, Transfer
from spps_sim.peers.frames import mss_option, wscale_option


@pytest.mark.parametrize("standby", [True, False], ids=["protected", "unprotected"])
@pytest.mark.parametrize("close", ["client", "server", "both"])
def test_100_kilobytes_each_way(standby, close):
    Transfer(up=100_000, down=100_000, close=close, standby=standby).run().check()


@pytest.mark.parametrize("window", [1000, 2920, 16384])
@pytest.mark.parametrize("mss", [100, 536, 1460])
def test_window_and_segment_sizes(window, mss):
    transfer = Transfer(up=20_000, down=20_000, config={"window": window}, client={"mss": mss}).run()
    transfer.check()
    sizes = {o.iface: max(x.length for x in transfer.pair.units[0].segments if x.iface == o.iface)
             for o in transfer.pair.units[0].segments}
    assert sizes[0] <= mss and sizes[1] <= 1460
    syn = next(o for o in transfer.pair.units[0].segments if o.iface == 1)
    # the server is told the client's MSS, so its segments need no cutting
    assert syn.mss == mss


def test_window_scale_only_if_the_client_offers_it():
    for offered in (None, 2):
        transfer = Transfer(up=100_000, down=10_000, config={"window": 65536 * 2, "rcv_wscale": 2},
                            socket_bytes=1 << 17, client={"wscale": offered, "window": 100_000},
                            server={"wscale": 3, "window": 100_000}).run()
        transfer.check()
        syns = [parse_segment(f.data) for f in transfer.pair.capture if f.unit == 0]
        assert all((3 in s.options) == (offered is not None) for s in syns if s and s.flags & SYN)


@pytest.mark.parametrize("up, down", [(6000, 4000)])
def test_each_segment_lost_once(up, down):
    count = Transfer(up=up, down=down).run().pair.frames
    for n in range(1, count + 1):
        transfer = Transfer(up=up, down=down, lose=lambda number, *_, n=n: number == n).run()
        assert not transfer.problems(), (n, transfer.problems())


@pytest.mark.parametrize("seed", range(6))
def test_random_loss(seed):
    import random
    dice = random.Random(seed)
    Transfer(up=40_000, down=40_000, close="both", lose=lambda *_: dice.random() < 0.08).run().check()


@pytest.mark.parametrize("reader", ["client", "server"])
def test_zero_window_and_reopening(reader):
    """A destination that does not read closes the source's window; nothing is dropped, and it goes on when read."""
    transfer = Transfer(up=40_000, down=40_000, close="both")
    pair = transfer.pair
    pair.run(until=lambda: transfer.server is not None)
    slow = transfer.client if reader == "client" else transfer.server
    slow.reading = False
    pair.run(until=lambda: pair.time > 120_000)
    assert len(slow.received) == slow.config.window and not slow.was("reset")   # many probes, all answered
    while len(slow.received) < 40_000:
        slow.read()
        time = pair.time
        pair.run(until=lambda time=time: pair.time > time + 500)
    slow.reading = True
    slow.read()
    transfer.run().check()


def test_sequence_numbers_wrap():
    for leg in (0, 1):
        probe = Transfer(peer_iss=(1 << 32) - 30_000).run()
        isn = next(o.seq for o in probe.pair.units[0].segments if o.iface == leg and o.tcp_flags & SYN)
        transfer = Transfer(up=50_000, down=50_000, isn_base=-isn - 20_000, peer_iss=(1 << 32) - 30_000).run()
        transfer.check()
        assert any(o.seq < 40_000 and o.iface == leg for o in transfer.pair.units[0].segments)


def test_nothing_depends_on_registers_scratch_or_old_memory():
    """Runs with other garbage in everything a program must write before reading are equal, frame by frame."""
    for kw in ({}, {"lose": lambda number, *_: number % 9 == 0}, {"kill": (14, "lost")}):
        captures = []
        for seed in range(4):
            kill = kw.get("kill")
            transfer = Transfer(up=9000, down=9000, seed=seed, lose=kw.get("lose"))
            transfer.pair.kill_at = kill
            transfer.run().check()
            captures.append([(f.time, f.link, f.data) for f in transfer.pair.capture])
        assert all(c == captures[0] for c in captures)


def test_every_gated_output_stands_behind_its_record():
    """At the moment an output with a new number is issued, a record with that commitment has been issued before it."""
    transfer = Transfer(up=20_000, down=20_000)
    unit, told = transfer.pair.units[0], {}
    record = unit.record

    def watch(u, number, words):
        told[number] = words[2 + 1], words[2 + 2]       # SND.UNA of leg 0, leg 1
        record(u, number, words)
    unit.record = watch
    transfer.run().check()
    first = {leg: next(o for o in unit.segments if o.iface == leg and o.tcp_flags & SYN) for leg in (0, 1)}
    peer_isn = {0: transfer.client.iss, 1: transfer.server.iss}
    for output in unit.segments:
        if output.tcp_flags & ACK and output.flags & 1:
            snd_una = told[output.behind][1 - output.iface]
            committed = (snd_una - first[1 - output.iface].seq) & 0xFFFFFFFF
            assert ((output.ack - peer_isn[output.iface]) & 0xFFFFFFFF) <= max(committed, 1)


def test_acks_are_withheld_until_the_destination_has_acknowledged():
    pair = FunctionalPair(
        lose=lambda n, link, to_peer, data: link == 1 and to_peer and len(parse_segment(data).payload) > 0)
    pair.server.listen(80, lambda connection, what: None)
    client = RawClient(pair)
    client.open()
    client.send(payload=b"x" * 100)
    assert client.settle() == []                            # no ACK: the server has nothing
    client.send(payload=b"x" * 100)
    again, = client.settle(20)                              # an old duplicate: ACK at once, permitted number
    assert again.ack == client.nxt
    client.send(seq=client.nxt + 200, payload=b"y")
    hole, = client.settle(20)
    assert hole.ack == client.nxt and hole.window == again.window


def test_data_on_the_syn_is_dropped_and_wanted_again():
    pair = FunctionalPair()
    accepted = []
    pair.server.listen(80, lambda connection, what: accepted.append(connection) if what == "established" else None)
    client = RawClient(pair)
    client.segment(client.sport, client.dst, seq=1000, flags=SYN, payload=b"early", window=8192)
    answer, = client.settle()
    assert answer.ack == 1001 and not pair.units[0].scratch
    client.nxt, client.rcv = 1001, answer.seq + 1
    client.send(payload=b"early")
    assert client.settle()[-1].ack == 1006 and bytes(accepted[0].received) == b"early"


@pytest.mark.parametrize("options, limit", [(b"", 536), (mss_option(0), 536), (mss_option(333), 333),
                                            (mss_option(1460) + wscale_option(20), 1460)])
def test_mss_option_of_the_client(options, limit):
    pair = FunctionalPair()
    pair.server.listen(80, lambda connection, what: connection.write(bytes(5000)) if what == "established" else None)
    client = RawClient(pair, options=options, window=500 if b"\3\3" in options else 8192)
    client.segment(client.sport, client.dst, seq=client.iss, flags=SYN, window=client.window, options=options)
    answer, = client.settle()
    client.nxt, client.rcv = client.iss + 1, answer.seq + 1
    client.send()
    assert max(len(s.payload) for s in client.settle()) == limit


def test_partly_old_segment_is_trimmed_and_beyond_the_window_cut():
    pair = FunctionalPair(config={"window": 1000})
    accepted = []
    pair.server.listen(80, lambda connection, what: accepted.append(connection) if what == "established" else None)
    client = RawClient(pair)
    client.open()
    client.send(payload=b"abcdef")
    client.settle()
    client.send(seq=client.nxt + 3, payload=b"defGHI")
    assert client.settle()[-1].ack == client.nxt + 9 and bytes(accepted[0].received) == b"abcdefGHI"
    client.send(seq=client.nxt + 9, payload=b"z" * 1200, flags=ACK | FIN)
    client.settle()
    assert len(accepted[0].received) == 9 + 1000 and not accepted[0].fin_taken


def test_idle_connection_without_keepalive_has_no_timer():
    client_side = FunctionalPair(config={"keepalive": 0})
    client_side.server.listen(80, lambda connection, what: None)
    client = RawClient(client_side)
    client.open()
    client.send(payload=b"x")
    client.settle(500)
    # 12 days: see idle.uasm
    assert client_side.units[0].in_use and (client_side.units[0].deadline() or 1 << 30) > 10**9
