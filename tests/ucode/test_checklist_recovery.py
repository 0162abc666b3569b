"""Checklist, recovery with SACK: what is retransmitted and what is not, each leg; more in test_checklist_sack.py."""
from spps_sim.checker.wire import ACK
from spps_sim.peers.frames import sack_option
from tests.ucode.env_loss import LEGS, MODULES, opened, sent


def tell(leg, ack, *sacked):
    leg.send(ack=leg.rcv + ack, options=sack_option([(leg.rcv + a, leg.rcv + b) for a, b in sacked]))


@MODULES
@LEGS
def test_two_holes_are_retransmitted_in_one_round_trip_and_nothing_the_peer_has(name, defines):
    leg = opened(name, sack=True, defines=defines, window=20_000)
    leg.far_write(bytes(8000))
    assert sum(len(s.payload) for s in leg.settle()) == 8000
    for right in (2000, 3000, 4000):            # 0..1000 is missing
        tell(leg, 0, (1000, right))
    for right in (6000, 7000, 8000):            # and 4000..5000
        tell(leg, 0, (5000, right))
    again = [(s.seq - leg.rcv, len(s.payload)) for s in leg.settle(20) if s.payload]
    assert again == [(0, 1000), (4000, 1000)]
    tell(leg, 4000, (5000, 8000))
    assert [s for s in leg.settle(50) if s.payload] == []       # the second is under way
    tell(leg, 8000)
    assert [s for s in leg.settle(50) if s.payload] == []


@LEGS
def test_hole_that_is_longer_than_a_segment_is_retransmitted_piece_by_piece(name):
    leg = opened(name, sack=True, window=20_000)
    leg.far_write(bytes(8000))
    leg.settle()
    for right in (5000, 6000, 7000, 8000):
        tell(leg, 0, (3500, right))
    again = [(s.seq - leg.rcv, len(s.payload)) for s in leg.settle(20) if s.payload]
    assert again == [(0, 1000), (1000, 1000), (2000, 1000)]
    tell(leg, 1000, (3500, 8000))
    tell(leg, 2000, (3500, 8000))
    more = [(s.seq - leg.rcv, len(s.payload)) for s in leg.settle(20) if s.payload]
    assert more == [(3000, 500)]


@LEGS
def test_blocks_join_and_are_remembered(name):
    leg = opened(name, sack=True, window=20_000)
    leg.far_write(bytes(8000))
    leg.settle()
    tell(leg, 0, (6000, 7000))
    tell(leg, 0, (2000, 3000))
    tell(leg, 0, (4000, 5000))
    tell(leg, 0, (3000, 4000))                  # joins 2000..5000
    tell(leg, 0, (6000, 7000))
    leg.settle(20)
    leg.settle(1200)                            # timeout: all but those
    ranges = {(s.seq - leg.rcv, s.seq - leg.rcv + len(s.payload)) for t, s in sent(leg) if t > leg.pair.time - 1200}
    assert ranges and all(b <= 2000 or 5000 <= a and b <= 6000 or a >= 7000 for a, b in ranges)


@LEGS
def test_after_a_timeout_both_ranges_are_left_out(name):
    leg = opened(name, sack=True, window=20_000)
    leg.far_write(bytes(8000))
    leg.settle()
    for left, right in ((5000, 6000), (6900, 7000), (7000, 8000), (7950, 8000)):
        tell(leg, 0, (left, right))
    leg.settle(1100)                            # timeout
    before = len(sent(leg)) - 1
    for ack in (1000, 2000, 3000, 4000):
        tell(leg, ack, (7000, 8000))
        leg.settle(30)
    again = {(s.seq - leg.rcv, s.seq - leg.rcv + len(s.payload)) for t, s in sent(leg)[before:]}
    assert again == {(0, 1000), (1000, 2000), (2000, 3000), (3000, 4000), (4000, 5000), (6000, 6900)}


@LEGS
def test_partial_ack_inside_what_was_retransmitted_retransmits_nothing(name):
    leg = opened(name)
    leg.far_write(bytes(8000))
    leg.settle()
    for _ in range(3):
        leg.send()
    assert [s.seq - leg.rcv for s in leg.settle(20) if s.payload] == [0]
    leg.send(ack=leg.rcv + 500)
    assert all(s.seq >= leg.rcv + 8000 for s in leg.settle(50) if s.payload)


@LEGS
def test_hole_beyond_a_window_that_shrank_is_not_retransmitted(name):
    leg = opened(name, sack=True, window=20_000)
    leg.far_write(bytes(8000))
    leg.settle()
    for right in (5000, 6000, 7000):
        tell(leg, 0, (4000, right))
    leg.settle(20)
    leg.window = 700                            # with an ACK of data: not a duplicate
    tell(leg, 100, (4000, 8000))
    leg.settle(20)
    before = len(sent(leg))
    for _ in range(3):
        tell(leg, 100, (4000, 8000))
    leg.settle(20)
    assert all(s.seq + len(s.payload) <= leg.rcv + 800 for t, s in sent(leg)[before:])


def test_block_too_far_from_the_first_one_is_not_remembered():
    leg = opened("client", sack=True)
    words = leg.unit.flowstates[0]
    snd_una = leg.word("snd_una")
    for field in ("snd_nxt", "snd_max", "snd_end"):
        words[leg.place(field)] = snd_una + 200_000 & 0xFFFFFFFF
    words[11] = 0                               # not READY
    words[leg.place("dup_acks")] = 9            # and no recovery
    for left, expected in ((1000, 0), (100_000, 0), (60_000, 58_000 << 16 | 500)):
        leg.unit.run({"kind": 1, "conn": 0, "seq": leg.nxt, "ack": snd_una, "window": leg.window, "tcp_flags": ACK,
                      "options": 16, "sack_left": snd_una + left & 0xFFFFFFFF,
                      "sack_right": snd_una + left + (1000 if left == 1000 else 500) & 0xFFFFFFFF})
        assert leg.word("sack_next") == expected
