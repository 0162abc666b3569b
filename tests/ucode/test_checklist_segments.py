"""Checklist, RST, blind attacks and SYN floods: items 17 to 26 of hdl/spps/ucode/CHECKLIST.md, each on its legs."""
import random

import pytest

from spps_sim.checker.wire import ACK, FIN, RST, SYN, parse_segment
from spps_sim.model.functional_pair import VIP_0, VIP_1, FunctionalPair
from spps_sim.model.tcp_legs import LEGS as NAMES
from spps_sim.model.tcp_legs import Leg
from spps_sim.model.tcp_scenarios import RawPeer
from spps_sim.peers.frames import ip_number, mss_option, wscale_option
from tests.ucode.env_segments import CWR, ECE, LEGS, PROXIED, PSH, URG, alive, opened


@LEGS
def test_exact_reset_resets_and_leaves_nothing(name):
    leg = opened(name)
    leg.send(RST)
    assert leg.settle() == [] and leg.gone() and leg.reset()


@LEGS
def test_reset_in_the_window_is_challenged(name):
    leg = opened(name)
    leg.send(RST, seq=leg.nxt + 5)
    challenge, = leg.settle()
    assert (challenge.flags, challenge.seq, challenge.ack) == (ACK, leg.rcv, leg.nxt) and alive(leg)


@LEGS
@pytest.mark.parametrize("distance", [-1, -9000, 8192, 8193, 20_000, 1 << 31])
def test_reset_outside_the_window_is_dropped(name, distance):
    leg = opened(name)
    leg.send(RST, seq=leg.nxt + distance)
    assert leg.settle() == [] and alive(leg)


@LEGS
@pytest.mark.parametrize("distance", [8191, 8192])
def test_last_number_of_the_window_is_in_it_and_the_next_is_not(name, distance):
    leg = opened(name)
    leg.send(RST, seq=leg.nxt + distance)
    assert len(leg.settle()) == (distance < 8192) and alive(leg)


def last_told(leg):
    """The unit's last segment on the leg."""
    link = "server" if leg.name == "server" else "client"
    return [parse_segment(f.data) for f in leg.pair.capture if f.link == link and f.unit is not None][-1]


@LEGS
@pytest.mark.parametrize("shift", [0, 3])
@pytest.mark.parametrize("discard", [False, True])
def test_the_right_edge_of_a_reset_is_that_which_was_told(name, shift, discard):
    """It has moved by some bytes since: an endpoint does not tell each move, nor can it with a window scale."""
    scaled = {"wscale": 0}
    service = {"discard_port": 7, "echo_port": 1007} if discard else {}
    leg = opened(name, options=mss_option(1000) + wscale_option(0), config={"rcv_wscale": shift} | service,
                 client=scaled, server=scaled)
    for size in (1, 7, 100, 1000, 333):
        leg.send(payload=bytes(size))
        leg.nxt += size
        leg.take(leg.settle())
        leg.send()
        leg.settle()
    told = last_told(leg)
    leg.send(RST, seq=told.ack + (told.window << shift))
    assert leg.settle() == [] and alive(leg)
    leg.send(RST, seq=leg.nxt)
    leg.settle()
    assert leg.gone()


@LEGS
def test_the_last_number_that_was_told_is_in_the_window(name):
    leg = opened(name)
    for _ in range(3):
        leg.send(payload=bytes(101))
        leg.nxt += 101
        leg.take(leg.settle())
        leg.send()
        leg.settle()
    told = last_told(leg)
    leg.send(RST, seq=told.ack + told.window - 1)
    challenge, = leg.settle()
    assert challenge.ack == leg.nxt and alive(leg)


@PROXIED
def test_reset_at_the_right_edge_is_challenged_after_a_takeover(name):
    """The peer may have filled the window, of which the new unit knows nothing."""
    leg = opened(name)
    leg.pair.kill("record")
    leg.settle(100)
    leg.send(RST, seq=leg.nxt + 8192)
    challenge, = leg.settle()
    assert (challenge.flags, challenge.ack) == (ACK, leg.nxt) and alive(leg)


def fill_window(leg, size, lost=()):
    """Send `size` bytes in segments of 500, those that are `lost` excepted; the far end answers none of them."""
    if leg.other:
        far = {"client": 1, "server": 0}[leg.name]
        leg.pair.lose = lambda n, link, to_peer, data: link == far and to_peer
    else:
        leg.window = 0                          # no echo leaves
    for start in range(0, size, 500):
        if start not in lost:
            leg.send(seq=leg.nxt + start, payload=bytes(500))
    leg.settle(20)


@LEGS
def test_reset_at_the_right_edge_of_a_window_that_is_full_is_exact(name):
    leg = opened(name, config={"window": 2000})
    fill_window(leg, 2000)
    leg.send(RST, seq=leg.nxt + 2000)
    leg.pair.lose = None
    leg.settle()
    assert leg.gone() and leg.reset()


def test_reset_with_the_number_of_our_acks_is_exact_at_the_right_edge_too():
    """A FIN behind a full window has the number of the edge; RCV.NXT is behind it."""
    leg = opened("client")
    words = leg.state
    words[11] = 0                               # not READY
    words[leg.place("right_edge")] = leg.word("permitted_ack")
    words[leg.place("rcv_nxt")] += 1
    leg.send(RST)
    leg.settle()
    assert leg.gone() and leg.reset()


@LEGS
@pytest.mark.parametrize("lost", [(0,), (1500,)])
def test_acks_from_the_right_edge_count_although_some_of_the_window_was_lost(name, lost):
    leg = opened(name, config={"window": 2000})
    leg.far_write(b"for you")
    leg.take(leg.settle())
    fill_window(leg, 2000, lost)
    leg.send(seq=leg.nxt + 2000)
    leg.settle(20)
    assert leg.word("snd_una") == leg.rcv


@LEGS
@pytest.mark.parametrize("flags", [SYN, SYN | ACK, SYN | FIN, SYN | FIN | ACK, SYN | FIN | PSH | URG])
@pytest.mark.parametrize("distance", [0, 100, -1, 30_000])
def test_syn_in_a_synchronized_state_is_challenged(name, flags, distance):
    leg = opened(name)
    leg.send(flags, seq=leg.nxt + distance)
    challenge, = leg.settle()
    assert (challenge.flags, challenge.ack) == (ACK, leg.nxt) and alive(leg)


@LEGS
@pytest.mark.parametrize("distance", [1, 5000, 1 << 30, -70_000, -(1 << 30)])
def test_ack_of_what_was_never_sent_or_is_too_old_is_challenged_and_its_data_dropped(name, distance):
    leg = opened(name)
    leg.send(ack=leg.rcv + distance, payload=b"spoof")
    challenge, = leg.settle()
    assert (challenge.flags, challenge.ack) == (ACK, leg.nxt) and leg.far_received() == 0 and alive(leg)


def stamps(segment):
    """TSval and TSecr."""
    return tuple(int.from_bytes(segment.options[8][at:at + 4], "big") for at in (0, 4))


@pytest.mark.parametrize("distance", [1, 100_000, -70_000])
@pytest.mark.parametrize("flags", [ACK, FIN | ACK])
@pytest.mark.parametrize("name, takeover", [*((name, False) for name in NAMES), ("client", True), ("server", True)])
def test_timestamp_of_a_segment_with_a_bad_ack_does_not_count(name, takeover, flags, distance):
    """Else PAWS would refuse all that the peer sends after it."""
    leg = opened(name, timestamps=True)
    leg.send(payload=b"before")
    leg.take(leg.settle())
    leg.nxt += 6
    if takeover:
        distance *= 1 if abs(distance) > 1 else 70_000      # what the other unit may have sent is beyond SND.MAX, too
        leg.pair.kill("record")
        leg.settle(100)
    echo, challenges = leg.pair.time - 1, []
    leg.val = leg.pair.time + (1 << 30)
    leg.send(flags, ack=leg.rcv + distance)
    challenges = leg.settle()
    leg.val = None
    assert [(s.flags, s.ack) for s in challenges] == [(ACK, leg.nxt)] and stamps(challenges[0])[1] <= echo
    assert alive(leg)
    leg.send(seq=leg.nxt - 1, payload=b"!")
    assert stamps(leg.settle()[-1])[1] > 0 and alive(leg)


@LEGS
def test_timestamp_of_a_wrong_ack_before_established_does_not_count(name):
    leg = Leg(name, timestamps=True)
    leg.syn()
    leg.first()
    leg.val = leg.pair.time + (1 << 30)
    leg.finish(ack=leg.rcv + 77)
    reset, = leg.settle()
    assert reset.flags & RST
    leg.val = None
    leg.finish()
    leg.settle()
    assert alive(leg)


@LEGS
def test_challenge_acks_are_limited_and_come_again_later(name):
    leg = opened(name)
    for distance in range(1, 41):
        leg.send(RST, seq=leg.nxt + distance)
    assert len(leg.settle()) == 10
    leg.settle(1100)
    leg.send(RST, seq=leg.nxt + 5)
    assert len(leg.settle()) == 1 and alive(leg)


def test_challenge_limit_is_of_one_connection():
    first = opened("client")
    for distance in range(1, 20):
        first.send(RST, seq=first.nxt + distance)
    assert len(first.settle()) == 10
    second = Leg("client", pair=first.pair, port=41000)
    second.syn()
    second.first()
    second.finish()
    second.settle()
    second.send(RST, seq=second.nxt + 5)
    assert len(second.settle()) == 1


@PROXIED
@pytest.mark.parametrize("state", ["established", "data in flight", "after our FIN", "after theirs"])
def test_reset_on_one_leg_aborts_the_other_and_is_never_a_fin(name, state):
    leg = opened(name)
    fins = leg.other.fin_taken
    if state == "data in flight":
        leg.far_write(bytes(3000))
        leg.settle()
    if state == "after our FIN":
        leg.send(FIN | ACK)
        leg.settle()
        leg.nxt, fins = leg.nxt + 1, True
    if state == "after theirs":
        leg.other.close()
        leg.take(leg.settle())
    leg.send(RST)
    leg.settle()
    assert leg.other.was("reset") and leg.other.fin_taken == fins and leg.gone()


@LEGS
def test_null_and_senseless_flags_change_nothing(name):
    leg = opened(name)
    for flags in (0, PSH, URG, FIN, FIN | PSH | URG, ECE | CWR):
        leg.send(flags, payload=b"xmas")
    leg.settle()
    assert leg.far_received() == 0 and alive(leg)


@LEGS
def test_syn_with_any_number_is_challenged_within_the_limit(name):
    leg = opened(name)
    for distance in range(-20, 20):
        leg.send(SYN | FIN, seq=leg.nxt + distance * 1000)
    assert len(leg.settle()) == 10 and alive(leg)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("flags, length", [(FIN, 1), (FIN | PSH | URG, 1), (0, 0), (SYN | FIN, 2)])
@pytest.mark.parametrize("payload", [b"", b"xyz"])
def test_segment_without_ack_for_a_closed_port_is_reset(name, flags, length, payload):
    leg = Leg(name)
    leg.dst = (leg.dst if name != "server" else (ip_number(VIP_1), 0))[0], 4999
    leg.segment(leg.sport, leg.dst, seq=700, flags=flags, payload=payload)
    reset, = leg.settle()
    assert (reset.flags, reset.seq, reset.ack) == (RST | ACK, 0, 700 + length + len(payload)) and leg.gone()


def test_flood_of_syns_is_bounded_and_leaves_an_established_transfer_alone():
    pair = FunctionalPair(half_open_limit=6, connections=16)
    accepted = []
    pair.server.listen(80, lambda c, what: accepted.append(c) if what == "established" else None)
    client = pair.client.connect(
        VIP_0, 80, on_event=lambda c, what: (c.write(bytes(60_000)), c.close()) if what == "established" else None)
    pair.run(until=lambda: accepted and len(accepted[0].received) > 5000)
    unit, rng = pair.units[0], random.Random(1)
    attacker = RawPeer(pair, 0, "10.0.0.66", "02:00:00:00:00:66")
    pair.peers[0] = pair.client

    def flood():
        attacker.ip = ip_number("10.0.0.66") + rng.randrange(100)
        attacker.segment(rng.randrange(1, 65536), (ip_number(VIP_0), 80), seq=rng.getrandbits(32), flags=SYN)
        assert len(unit.half_open) <= 6 and len(unit.in_use) <= 7
        if len(accepted[0].received) < 60_000:
            pair.at(3, flood)
    flood()
    pair.run(until=lambda: len(accepted[0].received) == 60_000, limit=5000)
    assert unit.half_open_refused > 10 and not client.was("reset")
    accepted[0].close()
    pair.run(until=lambda: not unit.in_use, limit=200_000)          # the half-open ones are given up
    assert not unit.keys and not unit.half_open and not unit.timers
