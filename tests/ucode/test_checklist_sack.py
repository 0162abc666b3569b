"""Checklist, SACK: what a receiver says (RFC 2018, 2883), and what a sender makes of it (RFC 6675, 3042)."""
import random
import struct

import pytest

from spps_sim.model.tcp_legs import LEGS as NAMES
from spps_sim.model.tcp_legs import Leg
from spps_sim.peers.frames import mss_option, sack_option, sack_permitted_option

LEGS = pytest.mark.parametrize("name", NAMES)
STAMPS = pytest.mark.parametrize("timestamps", [False, True], ids=["plain", "timestamps"])
MODULES = pytest.mark.parametrize("defines", [(), ("CUBIC",)], ids=["newreno", "cubic"])
DATA = random.Random(70).randbytes(8000)


def opened(name, *, sack=True, timestamps=False, mss=1000, far=None, config=None, **kw):
    options = mss_option(mss) + (sack_permitted_option() if sack else b"")
    leg = Leg(name, options=options, timestamps=timestamps, client={"sack": sack} | (far or {}),
              server={"sack": sack} | (far or {}), config={"window": 16_000} | (config or {}), **kw)
    leg.open()
    leg.first_byte = leg.nxt
    return leg


def put(leg, start, end, data=DATA):
    """Bytes start..end of our stream; returns the ACKs that answer at once."""
    leg.send(seq=leg.first_byte + start, payload=data[start:end])
    return [s for s in leg.settle(20) if not s.payload]


def blocks(leg, segment):
    """SACK blocks of an ACK, as bytes of our stream."""
    raw = segment.options.get(5, b"")
    edges = [(edge - leg.first_byte + 100_000 & 0xFFFFFFFF) - 100_000 for edge, in struct.iter_unpack("!I", raw)]
    return list(zip(edges[::2], edges[1::2]))


def tell(leg, ack, *sacked, **kw):
    """An ACK of `ack` bytes of the unit's stream with blocks of it."""
    leg.send(ack=leg.rcv + ack, options=sack_option([(leg.rcv + a, leg.rcv + b) for a, b in sacked]), **kw)


def flying(name, size=8000, *, window=20_000, **kw):
    """A leg on which `size` bytes in segments of 1000 are in flight."""
    leg = opened(name, window=window, **kw)
    for _ in range(0, size, 1000):
        leg.far_write(bytes(1000))
    assert sum(len(s.payload) for s in leg.settle()) == size
    return leg


def resent(leg, ticks=20):
    """Payload that left in so many ticks: (start, length)."""
    return [(s.seq - leg.rcv & 0xFFFFFFFF, len(s.payload)) for s in leg.settle(ticks) if s.payload]


# --- what a receiver says

@STAMPS
@LEGS
def test_blocks_that_fit_are_told_the_newest_first(name, timestamps):
    leg = opened(name, timestamps=timestamps)
    room = 3 if timestamps else 4
    expected = []
    for start in (6000, 2000, 4000, 1000):
        answer, = put(leg, start, start + 500)
        expected.insert(0, (start, start + 500))
        assert answer.ack == leg.first_byte and blocks(leg, answer) == expected[:room]
    answer, = put(leg, 2500, 3000)              # joins an older block, which becomes the first
    assert blocks(leg, answer) == [(2000, 3000), (1000, 1500), (4000, 4500), (6000, 6500)][:room]
    answer, = put(leg, 7000, 7500)              # a fifth has no place
    assert blocks(leg, answer) == [(2000, 3000), (1000, 1500), (4000, 4500), (6000, 6500)][:room]
    put(leg, 0, 1000)                           # fills the first hole: the block is gone
    answer = put(leg, 5000, 5100)[-1]
    assert blocks(leg, answer) == [(5000, 5100), (2000, 3000), (4000, 4500), (6000, 6500)][:room]
    put(leg, 1000, 7500)
    leg.settle()
    assert leg.far_received() == 7500


@LEGS
def test_no_block_is_told_without_permission(name):
    leg = opened(name, sack=False)
    answer, = put(leg, 200, 300)
    again, = put(leg, 200, 300)
    assert not blocks(leg, answer) and not blocks(leg, again)


@STAMPS
@LEGS
def test_bytes_that_were_acknowledged_and_come_again_are_told_once(name, timestamps):
    leg = opened(name, timestamps=timestamps)
    put(leg, 0, 1000)
    leg.take(leg.settle())
    for start, end in ((0, 1000), (200, 300)):
        again, = put(leg, start, end)
        assert again.ack == leg.first_byte + 1000 and blocks(leg, again) == [(start, end)]
    hole, = put(leg, 2000, 2500)
    assert blocks(leg, hole) == [(2000, 2500)]
    both, = put(leg, 100, 900)                  # and then what is kept
    assert blocks(leg, both) == [(100, 900), (2000, 2500)]
    partly = put(leg, 900, 1200)[0]             # the part of a segment that was acknowledged
    assert blocks(leg, partly) == [(900, 1000), (2000, 2500)]


@LEGS
def test_duplicate_with_an_old_timestamp_is_told_too(name):
    leg = opened(name, timestamps=True)
    old = leg.pair.time
    leg.settle()
    put(leg, 0, 1000)
    leg.take(leg.settle())
    leg.val = old
    again, = put(leg, 0, 1000)
    assert again.ack == leg.first_byte + 1000 and blocks(leg, again) == [(0, 1000)]
    other, = put(leg, 1000, 2000)               # PAWS drops it, and it is not old
    assert other.ack == leg.first_byte + 1000 and blocks(leg, other) == []


@LEGS
def test_kept_bytes_that_come_again_are_told_with_their_block(name):
    leg = opened(name)
    put(leg, 1000, 2000)
    put(leg, 3000, 4000)
    for start, end, told in ((1200, 1500, (1200, 1500)), (3000, 4000, (3000, 4000)), (1900, 2300, (1900, 2000)),
                             (500, 1100, (1000, 1100)), (900, 3500, (900, 2300))):
        answer, = put(leg, start, end)
        first, *others = blocks(leg, answer)
        assert first == told and others[0][0] <= told[0] and told[1] <= others[0][1], (start, end)
    assert others == [(500, 4000)]
    put(leg, 0, 600)                            # its block is in order now: not told
    leg.settle()
    assert leg.far_received() == 4000


@pytest.mark.parametrize("name", ["client", "server"])
def test_bytes_that_are_withheld_are_told_by_no_block(name):
    """Received in order, but not acknowledged: neither D-SACK nor SACK, also beside a hole."""
    leg = opened(name, far={"window": 1000})
    leg.other.reading = False                   # it takes 1000 bytes and then no more
    put(leg, 0, 1000)
    leg.settle()
    put(leg, 1000, 2000)
    again, = put(leg, 1000, 2000)
    assert again.ack == leg.first_byte + 1000 and not blocks(leg, again)
    partly, = put(leg, 500, 1500)               # 1000 of it are acknowledged
    assert partly.ack == leg.first_byte + 1000 and blocks(leg, partly) == [(500, 1000)]
    hole, = put(leg, 3000, 3500)
    assert blocks(leg, hole) == [(3000, 3500)]
    again, = put(leg, 1500, 2000)
    assert blocks(leg, again) == [(3000, 3500)]
    for answer in put(leg, 1900, 3200):         # 3000..3200 came twice, and are withheld now
        assert blocks(leg, answer) == []


@LEGS
def test_blocks_are_not_lost_when_there_is_data_to_send(name):
    leg = opened(name, config={"initial_window": 4})
    if name == "endpoint":
        leg.send(payload=DATA[:500])            # the echo of this
        leg.nxt += 500
        leg.first_byte += 500
        leg.send(seq=leg.first_byte + 1000, payload=DATA[:500])
        got = leg.settle(20)
    else:
        leg.other.write(bytes(16_000))
        assert sum(len(s.payload) for s in leg.settle()) > 3500         # the initial window
        leg.send(seq=leg.first_byte + 1000, ack=leg.rcv + 2000, payload=DATA[:500])
        got = leg.settle(20)
        assert any(s.payload for s in got)
    assert [blocks(leg, s) for s in got if 5 in s.options] == [[(1000, 1500)]]
    assert not any(s.payload for s in got if 5 in s.options)


@pytest.mark.parametrize("name", ["client", "server"])
def test_nothing_that_came_twice_is_told_across_a_takeover(name):
    leg = opened(name)
    put(leg, 0, 1000)
    leg.settle()
    put(leg, 2000, 3000)
    leg.pair.kill()
    leg.settle()
    again, = put(leg, 0, 1000)
    assert again.ack == leg.first_byte + 1000 and blocks(leg, again) == [(0, 1000)]
    hole, = put(leg, 2000, 3000)                # lost with the other unit: not twice
    assert blocks(leg, hole) == [(2000, 3000)]


# --- a segment over several holes

@LEGS
def test_segment_that_spans_kept_blocks_is_taken_whole(name):
    for start, end, joined in ((500, 6500, (500, 6500)), (1200, 5900, (1000, 6000)), (800, 5500, (800, 6000)),
                               (0, 8000, None)):
        leg = opened(name, window=20_000)
        for block in (5, 1, 3):
            put(leg, 1000 * block, 1000 * block + 1000)
        answers = put(leg, start, end)
        if joined:
            assert blocks(leg, answers[-1])[1:] == [joined]     # behind D-SACK
            put(leg, 0, start)
            put(leg, end, 8000)
        leg.settle()
        assert leg.far_received() == 8000
        if leg.other:
            assert bytes(leg.other.received) == DATA


@LEGS
def test_first_received_bytes_win_in_a_segment_that_spans_blocks(name):
    leg, other = opened(name, window=20_000), bytes(8000)
    for block in (1, 3, 5):
        put(leg, 1000 * block, 1000 * block + 1000)
    got = [leg.send(seq=leg.first_byte, payload=other[:6500]), *leg.settle()]
    if leg.other:
        stream = bytes(leg.other.received)
    else:
        stream = b"".join(s.payload for s in got if s)
    assert stream[:6500] == b"".join(DATA[i:i + 1000] if i // 1000 in (1, 3, 5) else other[i:min(i + 1000, 6500)]
                                     for i in range(0, 7000, 1000))[:6500]


# --- what a sender makes of it

@LEGS
def test_four_ranges_are_remembered_and_the_farthest_of_five_is_forgotten(name):
    leg = flying(name, 10_000)
    for left in (9000, 3000, 7000, 5000, 1000):
        tell(leg, 0, (left, left + 500))
        leg.settle(20)
    assert [leg.word(name) - leg.rcv & 0xFFFFFFFF for name in ("sacked_left", "sacked_right")] == [1000, 1500]
    assert [leg.word("sack_next", more=n) for n in range(3)] == 3 * [1500 << 16 | 500]
    tell(leg, 0, (3500, 7000))                  # joins three of them
    leg.settle(20)
    assert [leg.word("sack_next", more=n) for n in range(3)] == [1500 << 16 | 4500, 0, 0]
    leg.settle(1500)                            # timeout: what is SACKed is not sent again
    for ack in (900, 1600, 2900, 7600):
        again = resent(leg)
        assert all(b <= 1000 or 1500 <= a and b <= 3000 or a >= 7500 for a, size in again for b in [a + size]), again
        tell(leg, ack)
    leg.settle()


@LEGS
def test_every_hole_below_the_fourth_range_is_retransmitted_in_one_recovery(name):
    leg = flying(name, 9000)
    for left in (1000, 3000, 5000, 7000):
        tell(leg, 0, (left, left + 1000))
    assert resent(leg) == [(0, 1000), (2000, 1000)]
    tell(leg, 0, (8000, 8500))
    tell(leg, 0, (8000, 8500))                  # says nothing new
    assert resent(leg) == [(4000, 1000)]
    tell(leg, 0, (8000, 9000))
    assert resent(leg) == [(6000, 1000)]
    for ack in (2000, 4000, 6000, 9000):
        tell(leg, ack)
        assert resent(leg) == []


@LEGS
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_after_a_timeout_all_ranges_are_left_out(name, count):
    leg = flying(name, 9000)
    ranges = (1000, 3000, 5000, 7000)[:count]
    for left in ranges:
        tell(leg, 0, (left, left + 1000))
    leg.settle(1500)                            # timeout
    leg.state[leg.place("cwnd")] = 20_000       # the flight goes on as far as it can
    tell(leg, 100)
    assert resent(leg) == [(left, 1000) for left in range(2000, 9000, 1000) if left not in ranges]


@MODULES
@LEGS
def test_ack_with_a_new_block_is_a_duplicate_whatever_its_window_and_payload(name, defines):
    leg = flying(name, defines=defines)
    tell(leg, 0, (1000, 1500), window=19_000)
    tell(leg, 0, (1000, 2000), window=21_000)
    assert resent(leg) == []
    if name == "endpoint":                      # its payload would be echoed
        tell(leg, 0, (1000, 2500), window=18_000)
    else:
        tell(leg, 0, (1000, 2500), payload=b"payload")
    assert resent(leg)[:1] == [(0, 1000)]


@LEGS
def test_ack_that_acknowledges_and_has_a_new_block_is_the_first_duplicate(name):
    leg = flying(name)
    tell(leg, 1000, (2000, 2100))
    tell(leg, 1000, (2000, 2200))
    assert resent(leg) == []
    tell(leg, 1000, (2000, 2300))
    assert resent(leg)[:1] == [(1000, 1000)]


@LEGS
def test_with_sack_an_ack_that_says_nothing_new_is_no_duplicate(name):
    """Repeated blocks, D-SACK, no block; only then new ones."""
    leg = flying(name)
    tell(leg, 0, (4000, 4100))
    for _ in range(4):
        tell(leg, 0, (4000, 4100))
        tell(leg, 0, (-500, 0))
        leg.send()
    assert resent(leg) == []
    tell(leg, 0, (4000, 4200))
    tell(leg, 0, (4000, 4300))
    assert resent(leg)[:1] == [(0, 1000)]


@LEGS
def test_more_than_two_segments_beyond_a_hole_begin_recovery_at_once(name):
    """RFC 6675 §4, IsLost: the ACKs of the first two were lost."""
    for ranges in (((1000, 3001),), ((1000, 2000), (5000, 6001))):
        leg = flying(name)
        for block in ranges:
            assert resent(leg) == []
            tell(leg, 0, block)
        assert resent(leg)[:1] == [(0, 1000)]
    leg = flying(name)
    tell(leg, 0, (1000, 3000))
    assert resent(leg) == []


# --- limited transmit

def limited(name, *, sack, size=8000, window=20_000, **kw):
    """A leg whose cwnd of four segments is in flight, and there is more to send."""
    leg = opened(name, sack=sack, window=window, config={"initial_window": 4, **kw.pop("config", {})}, **kw)
    for _ in range(0, size, 1000):
        leg.far_write(bytes(1000))
    assert [s.seq - leg.rcv & 0xFFFFFFFF for s in leg.settle(20) if s.payload] == [0, 1000, 2000, 3000]
    return leg


def duplicate(leg, n):
    """The n-th duplicate ACK."""
    if leg.word("options") & 4:
        tell(leg, 0, (1000, 1000 + 100 * n))
    else:
        leg.send()
    return resent(leg)


@pytest.mark.parametrize("sack", [False, True], ids=["plain", "sack"])
@MODULES
@LEGS
def test_first_two_duplicate_acks_send_a_new_segment_each(name, defines, sack):
    leg = limited(name, sack=sack, defines=defines)
    cwnd = leg.word("cwnd")
    assert duplicate(leg, 1) == [(4000, 1000)] and duplicate(leg, 2) == [(5000, 1000)]
    assert leg.word("cwnd") == cwnd
    assert duplicate(leg, 3)[:1] == [(0, 1000)]
    expected = 2800 if defines else 2000        # without what went beyond cwnd
    assert abs(leg.word("ssthresh") - expected) <= 2


@LEGS
def test_limited_transmit_stays_in_the_window_of_the_peer(name):
    leg = limited(name, sack=True, window=4500)
    assert duplicate(leg, 1) == [] and duplicate(leg, 2) == []


@LEGS
def test_nothing_is_sent_beyond_cwnd_for_an_ack_that_says_nothing_new(name):
    leg = limited(name, sack=True)
    for _ in range(2):
        leg.send()
        tell(leg, 0, (-500, 0))
    assert resent(leg) == []


@LEGS
def test_after_a_timeout_limited_transmit_sends_nothing_old(name):
    leg = limited(name, sack=False)
    leg.settle(1500)                            # timeout: the first segment again, cwnd is one
    leg.settle(10)
    leg.send()
    leg.send()
    assert resent(leg) == []
