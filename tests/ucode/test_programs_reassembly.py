"""Segments out of order: kept, in at least four blocks; first bytes win; nothing of it survives a takeover."""
import itertools
import random

import pytest

from spps_sim.checker.wire import ACK, FIN
from spps_sim.model.functional_pair import FunctionalPair
from spps_sim.model.tcp_scenarios import RawClient, Transfer

DATA = random.Random(9).randbytes(4000)


class Opened:
    """A connection of a RawClient; `server` is the server's side."""

    def __init__(self, **pair):
        self.pair, accepted = FunctionalPair(**pair), []
        self.pair.server.listen(80,
                                lambda connection, what: accepted.append(connection) if what == "established" else None)
        self.client = RawClient(self.pair, options=b"\2\4\5\xb4")
        self.client.open()
        self.server, = accepted
        self.first = self.client.nxt

    def put(self, start, end, *, flags=ACK, data=DATA):
        """Bytes start..end of the stream."""
        self.client.send(seq=self.first + start & 0xFFFFFFFF, payload=data[start:end], flags=flags)

    def check(self, count):
        """All of `count` bytes are with the server and acknowledged to the client, none was sent there twice."""
        got = self.client.settle(100)
        assert bytes(self.server.received) == DATA[:count]
        assert got[-1].ack == self.first + count
        return got


def test_any_order_of_five_segments():
    for order in itertools.permutations(range(5)):
        opened = Opened()
        for n in order:
            opened.put(200 * n, 200 * n + 200)
        opened.check(1000)


@pytest.mark.parametrize("seed", range(12))
def test_any_overlap_is_the_same_stream(seed):
    """Random pieces; what was missed comes again. An event keeps one piece, a segment over many holes comes often."""
    dice, opened = random.Random(seed), Opened()
    for _ in range(30):
        start = dice.randrange(3900)
        opened.put(start, min(4000, start + dice.choice((1, 50, 300, 1000))))
        if dice.random() < 0.3:
            opened.client.settle(dice.randrange(40))
    for start in sorted(4 * list(range(0, 4000, 500))):
        opened.put(start, start + 500)
    opened.check(4000)


def test_four_holes_are_filled_without_retransmitting():
    opened = Opened()
    for n in (1, 3, 5, 7):
        opened.put(100 * n, 100 * n + 100)
    answers = opened.client.settle(20)
    assert [a.ack for a in answers] == 4 * [opened.first]       # a duplicate ACK for each, at once
    opened.put(900, 1000)                                       # a fifth block has no place
    for n in (6, 2, 0, 4):
        opened.put(100 * n, 100 * n + 100)
    opened.check(800)
    opened.put(800, 1000)
    opened.check(1000)


def test_first_received_bytes_win():
    opened, other = Opened(), bytes(4000)
    opened.put(300, 400)
    opened.put(100, 200)
    opened.put(50, 350, data=other)             # new: 50..100 only
    opened.put(120, 380, data=other)            # new: 200..300
    opened.put(0, 400, data=DATA)
    opened.client.settle(100)
    expected = DATA[:50] + other[50:100] + DATA[100:200] + other[200:300] + DATA[300:400]
    assert bytes(opened.server.received) == expected


def test_fin_waits_until_the_holes_are_filled():
    for last in ((500, 600), (600, 600)):       # with the last bytes, or alone
        opened = Opened()
        opened.put(*last, flags=ACK | FIN)
        opened.put(200, 500)
        opened.client.settle(50)
        assert not opened.server.fin_taken
        opened.put(0, 200)
        opened.client.settle(50)
        if last == (600, 600):
            opened.put(500, 600)
            opened.client.settle(50)
        assert opened.server.fin_taken and bytes(opened.server.received) == DATA[:600]
        assert len(opened.server.fin_numbers) == 1
        opened.put(600, 600, flags=ACK | FIN)
        assert opened.client.settle(50)[-1].ack == opened.first + 601


def test_fin_alone_waits_for_data_in_order():
    opened = Opened()
    opened.put(600, 600, flags=ACK | FIN)
    for n in range(3):
        assert not opened.server.fin_taken
        opened.put(200 * n, 200 * n + 200)
        opened.client.settle(50)
    assert opened.server.fin_taken and bytes(opened.server.received) == DATA[:600]


def test_what_lies_beyond_the_window_is_not_kept():
    opened = Opened(config={"window": 1000})
    opened.put(900, 1300, flags=ACK | FIN)
    opened.put(0, 900)
    opened.check(1000)
    assert not opened.server.fin_taken


def test_numbers_wrap_inside_a_block():
    pair = FunctionalPair()
    accepted = []
    pair.server.listen(80, lambda connection, what: accepted.append(connection) if what == "established" else None)
    client = RawClient(pair, iss=(1 << 32) - 300)
    client.open()
    for start in (400, 200, 0):
        client.send(seq=client.nxt + start & 0xFFFFFFFF, payload=DATA[start:start + 200])
    assert client.settle(50)[-1].ack == 600 - 299 and bytes(accepted[0].received) == DATA[:600]


def test_nothing_kept_survives_a_takeover():
    opened = Opened()
    opened.put(200, 400)
    opened.put(600, 700)
    opened.client.settle(20)
    opened.pair.kill()
    opened.client.settle(60)
    opened.put(0, 200)
    opened.client.settle(50)
    assert bytes(opened.server.received) == DATA[:200]
    opened.put(200, 700)
    opened.check(700)


def test_a_lost_segment_costs_one_retransmitting():
    for n in (30, 40, 50):
        transfer = Transfer(up=60_000, down=0,
                            lose=lambda number, link, to_peer, data, n=n: number == n and link == 0 and not to_peer)
        transfer.run().check()
        assert transfer.client.counters["retransmitted"] <= 2
