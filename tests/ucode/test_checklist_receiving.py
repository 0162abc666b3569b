"""Checklist, receiving: items 27 to 39 of hdl/spps/ucode/CHECKLIST.md, each on its legs."""
import random

import pytest

from spps_sim.checker.wire import ACK, FIN
from tests.ucode.env_segments import CWR, ECE, LEGS, PROXIED, PSH, URG, alive, opened


def delivers(name, flags):
    """Whether bytes of a segment with these flags arrive, and the connection goes on."""
    leg = opened(name)
    leg.send(flags, payload=b"marked")
    leg.settle()
    leg.nxt += 6
    return leg.far_received() == 6 and alive(leg)


@LEGS
def test_urgent_data_is_delivered_in_line(name):
    assert delivers(name, ACK | URG | PSH)


@LEGS
def test_ecn_bits_do_not_disturb(name):
    assert delivers(name, ACK | ECE | CWR)


@LEGS
def test_segment_behind_a_hole_is_kept_and_answered_at_once(name):
    leg = opened(name)
    leg.send(seq=leg.nxt + 3, payload=b"def")
    duplicate, = leg.settle(20)
    assert (duplicate.flags, duplicate.ack) == (ACK, leg.nxt) and leg.far_received() == 0
    leg.send(payload=b"abc")
    leg.settle()
    assert leg.far_received() == 6


@LEGS
def test_old_duplicate_is_acknowledged_at_once_with_the_permitted_number(name):
    leg = opened(name)
    leg.send(payload=b"abcdef")
    leg.take(leg.settle())
    leg.send(payload=b"abc")
    answer, = leg.settle(20)
    assert (answer.flags & ~PSH, answer.ack) == (ACK, leg.nxt + 6) and leg.far_received() == 6


@LEGS
def test_partly_old_segment_is_trimmed_on_the_left(name):
    leg = opened(name)
    leg.send(payload=b"abcdef")
    leg.settle()
    leg.send(seq=leg.nxt + 3, payload=b"defGHI")
    assert leg.settle()[-1].ack == leg.nxt + 9 and leg.far_received() == 9
    if leg.other:
        assert bytes(leg.other.received) == b"abcdefGHI"


@LEGS
def test_what_lies_beyond_the_window_is_trimmed_with_its_fin_and_acknowledged(name):
    leg = opened(name, config={"window": 1000})
    leg.send(FIN | ACK, payload=b"z" * 1200)
    assert leg.settle()[-1].ack == leg.nxt + 1000 and leg.far_received() == 1000
    leg.send(seq=leg.nxt + 5000, payload=b"beyond")
    answer = leg.settle()[-1]
    assert answer.flags & ACK and answer.ack == leg.nxt + 1000


@PROXIED
def test_data_is_acknowledged_only_when_the_destination_has_it(name):
    """Withheld: at most two ACKs with the old number come without being asked for (items 33, 35)."""
    far = {"client": 1, "server": 0}[name]
    leg = opened(name)
    leg.pair.lose = lambda n, link, to_peer, data: link == far
    for _ in range(4):
        leg.send(payload=bytes(500))
        leg.nxt += 500
    start = leg.nxt - 2000
    got = leg.settle(400)
    assert len(got) <= 2 and all(s.ack == start for s in got)
    leg.send(seq=start, payload=bytes(500))                 # asked for: an old duplicate
    again = leg.settle(20)
    assert again[0].ack == start
    leg.pair.lose = None
    assert leg.settle(3000)[-1].ack == leg.nxt


@PROXIED
def test_data_towards_a_sender_whose_data_is_withheld_carries_the_withheld_ack(name):
    far = {"client": 1, "server": 0}[name]
    leg = opened(name)
    leg.pair.lose = lambda n, link, to_peer, data: link == far and to_peer
    leg.send(payload=bytes(500))
    leg.settle()
    leg.far_write(bytes(2500))
    got = [s for s in leg.settle() if s.payload]
    assert leg.take(got) == bytes(2500) and {s.ack for s in got} == {leg.nxt}
    leg.send(seq=leg.nxt + 500)                             # our ACKs of it are taken all the same
    leg.settle()
    leg.pair.lose = None
    leg.far_write(b"more")
    assert leg.take(leg.settle()) == b"more"


@PROXIED
def test_held_bytes_stay_charged_to_the_window(name):
    far = {"client": 1, "server": 0}[name]
    leg = opened(name, config={"window": 2000})
    edge = leg.nxt + 2000
    leg.pair.lose = lambda n, link, to_peer, data: link == far
    sent = 0
    for size in (700, 700, 600):
        leg.send(payload=bytes(size))
        leg.nxt, sent = leg.nxt + size, sent + size
        leg.send(seq=leg.nxt - 1, payload=b"\0")            # asks for an ACK
        for s in leg.settle(30):
            assert s.ack + s.window == edge
    leg.send(payload=b"too much")
    leg.settle(30)
    leg.pair.lose = None
    leg.settle(5000)
    assert leg.far_received() == 2000


@LEGS
@pytest.mark.parametrize("seed", range(3))
def test_numbers_told_never_go_back(name, seed):
    """ACK and right edge of everything sent on the leg, while segments of ours come in any order, overlapping."""
    rng = random.Random(seed)
    leg = opened(name)
    data = rng.randbytes(6000)
    starts = [rng.randrange(6000) for _ in range(60)] + list(range(0, 6000, 500))
    rng.shuffle(starts)
    top = edge = 0
    for start in starts:
        leg.send(seq=leg.nxt + start, payload=data[start:start + rng.randrange(1, 1000)])
        for s in leg.settle(15):
            ack, right = s.ack - leg.nxt, s.ack + s.window - leg.nxt
            assert ack >= top and right >= edge
            top, edge = ack, right
            leg.take([s])
    for start in range(0, 6000, 500):
        leg.send(seq=leg.nxt + start, payload=data[start:start + 500])
        leg.take(leg.settle())
    assert leg.far_received() == 6000
    if leg.other:
        assert bytes(leg.other.received) == data


def test_sacked_data_lost_at_the_takeover_is_recovered():
    leg = opened("client", options=b"\4\2\1\1")
    leg.send(seq=leg.nxt + 1000, payload=bytes(1000))
    told = leg.settle(20)[-1]
    assert 5 in told.options and told.ack == leg.nxt
    leg.pair.kill("record")
    leg.settle()
    leg.send(payload=bytes(1000))
    assert leg.settle()[-1].ack == leg.nxt + 1000
    leg.send(seq=leg.nxt + 1000, payload=bytes(1000))
    assert leg.settle()[-1].ack == leg.nxt + 2000
