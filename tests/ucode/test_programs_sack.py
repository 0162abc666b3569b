"""Selective acknowledgement (RFC 2018): negotiation, blocks, what is not retransmitted, the prompt after a takeover."""
import random
import struct

import pytest

from spps_sim.checker.wire import ACK, SYN, parse_segment
from spps_sim.model.functional_pair import FunctionalPair
from spps_sim.model.tcp_scenarios import RawClient, Transfer
from spps_sim.peers.frames import mss_option, sack_option, sack_permitted_option

SACK = {"client": {"sack": True}, "server": {"sack": True}}
OFFER = mss_option(1000) + sack_permitted_option()


def blocks(segment):
    raw = segment.options.get(5, b"")
    return [struct.unpack_from("!II", raw, i) for i in range(0, len(raw), 8)]


def opened(*, down=b"", options=OFFER, server=None, **pair):
    """A RawClient connected to the pair's server, which writes `down`."""
    pair = FunctionalPair(server={"sack": True} | (server or {}), **pair)
    pair.server.listen(80, lambda connection, what: connection.write(down) if what == "established" and down else None)
    client = RawClient(pair, options=options)
    if not down:
        client.open()
        return client
    client.segment(client.sport, client.dst, seq=client.iss, flags=SYN, window=client.window, options=options)
    answer, = client.settle()
    client.nxt, client.rcv = client.iss + 1, answer.seq + 1
    client.send()
    return client


def tell(client, ack, *sacked):
    """An ACK of `ack` bytes with SACK blocks, in bytes from the start of the stream."""
    first = client.rcv
    client.segment(client.sport, client.dst, seq=client.nxt, ack=first + ack, flags=ACK, window=client.window,
                   options=sack_option([(first + a, first + b) for a, b in sacked]) if sacked else b"")


@pytest.mark.parametrize("client", [False, True])
@pytest.mark.parametrize("server", [False, True])
def test_permitted_only_where_the_peer_offers_it(client, server):
    def lose(number, link, to_peer, data):      # some data of each peer
        return not to_peer and len(parse_segment(data).payload) == 1460 and number % 5 == 0
    transfer = Transfer(up=20_000, down=20_000, client={"sack": client}, server={"sack": server}, lose=lose).run()
    transfer.check()
    sent = [(f.link, parse_segment(f.data)) for f in transfer.pair.capture if f.unit == 0]
    offered = {link: 4 in s.options for link, s in sent if s and s.flags & SYN}
    assert offered == {"client": client, "server": client}
    told = {link for link, s in sent if s and 5 in s.options}
    assert told == {link for link, permitted in (("client", client), ("server", client and server)) if permitted}


def test_the_first_block_holds_the_segment_that_came():
    client = opened()
    first = client.nxt
    for start, end, block in ((200, 300, (200, 300)), (600, 700, (600, 700)), (300, 400, (200, 400)),
                              (800, 900, (800, 900)), (500, 600, (500, 700))):
        client.send(seq=first + start, payload=bytes(end - start))
        answer, = client.settle(20)
        assert answer.ack == first and blocks(answer)[0] == (first + block[0], first + block[1])
    client.send(seq=first, payload=bytes(200))
    answer = client.settle(30)[-1]
    assert answer.ack == first + 400 and blocks(answer)[0][0] in (first + 500, first + 800)


def test_no_block_without_permission():
    client = opened(options=mss_option(1000))
    client.send(seq=client.nxt + 200, payload=bytes(100))
    answer, = client.settle(20)
    assert not blocks(answer)


def test_what_is_sacked_is_not_retransmitted():
    client = opened(down=bytes(6000))
    assert [len(s.payload) for s in client.settle(40)] == 6 * [1000]
    tell(client, 0, (700, 5000))                # the first 700 bytes and the last segment are missing
    again, = client.settle(40)
    assert again.seq == client.rcv and len(again.payload) == 700
    got = client.settle(300)                    # nothing more comes: timeout
    offsets = {(s.seq - client.rcv, len(s.payload)) for s in got}
    assert (0, 700) in offsets and all(end <= 700 or start >= 5000 for start, size in offsets for end in [start + size])
    tell(client, 5000)
    assert [(s.seq - client.rcv, len(s.payload)) for s in client.settle(40)] == [(5000, 1000)]


def test_a_peer_that_gives_up_what_it_sacked_gets_it_all_the_same():
    client = opened(down=bytes(4000))
    client.settle(40)
    tell(client, 0, (1000, 4000))
    received = 0
    for _ in range(8):                          # from now on only the next segment counts
        for s in client.settle(1500):
            if s.seq == client.rcv + received:
                received += len(s.payload)
        tell(client, received)
    assert received == 4000


@pytest.mark.parametrize("block", [(0, 500), (100, 100), (500, 100), (3000, 9000), (-500, -100)])
def test_senseless_blocks_are_ignored(block):
    client = opened(down=bytes(4000))
    client.settle(40)
    for _ in range(3):
        tell(client, 0, block)
    assert client.settle(40) == []              # no duplicate ACKs
    for right in (1400, 1500, 1600):
        tell(client, 0, (1200, right))
    again, = client.settle(40)
    assert again.seq == client.rcv and len(again.payload) == 1000


@pytest.mark.parametrize("seed", range(4))
def test_random_loss(seed):
    dice = random.Random(seed)
    Transfer(up=40_000, down=40_000, close="both", lose=lambda *_: dice.random() < 0.06, **SACK).run().check()


@pytest.mark.parametrize("how", ["lost", "record"])
def test_survives_a_kill_after_every_event(how):
    total = Transfer(up=8000, down=5000, **SACK).run().pair.units[0].events
    for k in range(1, total + 1):
        transfer = Transfer(up=8000, down=5000, **SACK)
        transfer.pair.kill_at = k, how
        transfer.run(limit=100_000)
        assert not transfer.problems(), (k, transfer.problems())


def test_the_prompt_sacks_the_last_segment_that_is_known():
    client = opened(server={"window": 2000})
    first, pair = client.nxt, client.pair
    server, = pair.server.all_connections()
    server.reading = False                      # it takes 2000 bytes and then no more
    for n in range(5):
        client.send(seq=first + 1000 * n, payload=bytes(1000))
    assert client.settle(60)[-1].ack == first + 2000
    pair.kill()
    prompts = [s for s in client.settle(60) if s.flags == ACK]
    assert [(s.ack, blocks(s)) for s in prompts] == [(first + 2000, [(first + 4000, first + 5000)])]


def test_resumes_soon_after_the_takeover():
    """A peer that counts only ACKs with blocks and whose smallest timeout is 200 ticks needs a hint of two segments."""
    late = []
    for k in range(12, 34):
        transfer = Transfer(up=60_000, down=0, **SACK)
        transfer.pair.kill_at = k, "lost"
        pair = transfer.pair
        pair.run(until=lambda pair=pair: pair.units[1].active)
        start, before = pair.time, len(transfer.server.received)
        pair.run(until=lambda transfer=transfer, before=before: len(transfer.server.received) > before)
        if pair.time - start >= 50:
            late.append((k, pair.time - start))
        transfer.run().check()
    assert not late
