"""Checklist, handshake and options: items 1 to 16 of hdl/spps/ucode/CHECKLIST.md, on every leg they concern."""
import pytest

from spps_sim.checker.wire import ACK, FIN, RST, SYN, parse_segment
from spps_sim.model.functional_pair import FunctionalPair
from spps_sim.model.lookup import half_siphash
from spps_sim.model.tcp_legs import LEGS as NAMES
from spps_sim.model.tcp_legs import PASSIVE, Leg
from spps_sim.peers.frames import mss_option, sack_permitted_option, wscale_option

LEGS = pytest.mark.parametrize("name", NAMES)
PASSIVE = pytest.mark.parametrize("name", PASSIVE)
MASK = 0xFFFFFFFF


@LEGS
def test_syn_is_acknowledged_with_the_number_after_it(name):
    leg = Leg(name, iss=MASK)
    leg.syn()
    first = leg.first()
    leg.finish()
    answer = first if name != "server" else leg.settle()[0]
    assert answer.flags & ACK and answer.ack == 0


@LEGS
def test_unanswered_syn_or_syn_ack_is_retransmitted_with_backoff_and_given_up(name):
    leg = Leg(name, config={"syn_retries": 3})
    leg.syn()
    leg.first()
    leg.settle(40_000)
    port = "server" if name == "server" else "client"
    sent = [(f.time, parse_segment(f.data))
            for f in leg.pair.capture if f.unit == 0 and f.link == port and parse_segment(f.data)]
    times = [t for t, s in sent if s.flags & SYN]
    gaps = [b - a for a, b in zip(times, times[1:])]
    # the first may wait in the gate
    assert len(times) == 4 and all(1.9 * a < b < 2.1 * a + 3 for a, b in zip(gaps, gaps[1:])) and 990 <= gaps[0] <= 1003
    assert len({s.seq for _, s in sent if s.flags & SYN}) == 1 and leg.gone()


@PASSIVE
def test_duplicate_syn_gets_the_same_isn(name):
    leg = Leg(name)
    leg.syn()
    first = leg.first()
    leg.syn()
    assert [(s.flags, s.seq, s.ack) for s in leg.settle()] == [(first.flags, first.seq, first.ack)]


@LEGS
def test_wrong_ack_before_established_is_reset_with_its_own_number(name):
    leg = Leg(name)
    leg.syn()
    leg.first()
    leg.finish(ack=leg.rcv + 77)
    reset, = leg.settle()
    assert (reset.flags, reset.seq) == (RST, leg.rcv + 77)
    leg.finish()                            # and the connection is not disturbed
    leg.settle()
    assert leg.state[0] & 1


@LEGS
def test_reset_answers_no_reset_before_established(name):
    leg = Leg(name)
    leg.syn()
    leg.first()
    leg.send(RST | ACK, ack=leg.rcv + 77, seq=leg.nxt + 99_999)
    assert leg.settle() == [] and leg.unit.in_use


def syn_received(name, **kw):
    """A leg in SYN-RECEIVED; that of the server by a simultaneous open."""
    leg = Leg(name, **kw)
    leg.syn()
    leg.first()
    if name == "server":
        leg.segment(leg.sport, leg.dst, seq=leg.iss, flags=SYN, options=leg.options, window=leg.window)
        leg.settle(20)
    return leg


@pytest.mark.parametrize("flags, distance, payload, window", [
    (RST, 5, b"", 8192), (RST, 5, b"", 0), (RST | ACK, 8191, b"", 8192), (ACK, 20_000, b"beyond", 8192),
    (ACK, -100, b"", 8192), (ACK, -100, b"old", 0), (FIN | ACK, -100, b"", 8192), (SYN, 5, b"", 8192),
    (SYN | FIN, 20_000, b"", 0)])
@pytest.mark.parametrize("name, takeover", [*((name, False) for name in NAMES), ("client", True)])
def test_in_syn_received_what_is_not_acceptable_gets_an_ack_without_syn(
        name, takeover, flags, distance, payload, window):
    leg = syn_received(name, window=window)
    if takeover:
        leg.pair.kill("record")
        assert {s.flags for s in leg.settle(100)} == {SYN | ACK}
    leg.send(flags, seq=leg.nxt + distance, payload=payload)
    answer, = leg.settle(20)
    assert (answer.flags, answer.seq, answer.ack) == (ACK, leg.rcv, leg.nxt)
    leg.window = 8192
    leg.finish()
    leg.settle()
    leg.send(payload=b"works")
    leg.settle()
    assert leg.far_received() == 5


@LEGS
@pytest.mark.parametrize("distance", [-1, 8192, 20_000])
def test_reset_outside_the_window_is_dropped_in_syn_received_too(name, distance):
    leg = syn_received(name)
    leg.send(RST, seq=leg.nxt + distance)
    assert leg.settle(20) == [] and leg.unit.in_use


def test_nothing_is_answered_before_the_record_of_a_new_connection():
    leg = Leg("client")
    leg.unit.sync_ready = 0
    leg.syn()
    leg.settle()
    leg.nxt += 1
    leg.rcv = 0
    leg.send(RST, seq=leg.nxt + 5)
    assert leg.settle(20) == []
    leg.unit.sync_ready = 1
    leg.first()
    leg.finish()
    leg.settle()
    assert leg.state[0] & 1


@LEGS
def test_data_on_the_syn_is_not_delivered_before_the_handshake_and_taken_when_it_comes_again(name):
    leg = Leg(name)
    leg.syn(**({} if name == "server" else {"payload": b"early"}))
    first = leg.first()
    leg.finish(**({"payload": b"early"} if name == "server" else {}))
    last = [first, *leg.settle()][-1]
    assert last.ack == leg.nxt and leg.far_received() == 0 and not leg.unit.scratch
    leg.send(payload=b"early")
    leg.settle()
    assert leg.far_received() == 5


@pytest.mark.parametrize("answer", [SYN | ACK, ACK])
@pytest.mark.parametrize("loss", [False, True])
def test_simultaneous_open_on_the_server_leg(answer, loss):
    leg = Leg("server", options=mss_option(700) + wscale_option(3))
    leg.syn()
    leg.first()
    leg.segment(leg.sport, leg.dst, seq=leg.iss, flags=SYN, options=leg.options, window=leg.window)
    crossed, = leg.settle(20)
    assert (crossed.flags, crossed.seq, crossed.ack) == (SYN | ACK, leg.peer_iss, leg.nxt)
    assert 2 in crossed.options and leg.other.state.name == "SYN_SENT"
    leg.segment(leg.sport, leg.dst, seq=leg.iss, flags=SYN, options=leg.options, window=leg.window)
    again, = leg.settle(20)
    assert (again.flags, again.seq, again.ack) == (crossed.flags, crossed.seq, crossed.ack)
    leg.send(SYN | ACK, seq=leg.iss, ack=leg.rcv + 9)
    reset, = leg.settle(20)
    assert (reset.flags, reset.seq) == (RST, leg.rcv + 9)
    if loss:
        again, = leg.settle(1200)           # nothing came: the SYN-ACK again
        assert (again.flags, again.seq, again.ack) == (crossed.flags, crossed.seq, crossed.ack)
    leg.send(answer, seq=leg.iss if answer & SYN else leg.nxt)
    leg.settle()
    assert leg.other.state.name == "ESTABLISHED"
    leg.far_write(bytes(3000))
    got = leg.settle()
    assert leg.take(got) == bytes(3000) and max(len(s.payload) for s in got) == 700
    leg.send(payload=b"reply")
    leg.settle()
    assert bytes(leg.other.received) == b"reply"


def test_simultaneous_open_that_is_reset_resets_the_client():
    leg = Leg("server")
    leg.syn()
    leg.first()
    leg.segment(leg.sport, leg.dst, seq=leg.iss, flags=SYN)
    leg.settle()
    leg.send(RST)
    leg.settle()
    assert leg.other.was("refused") and leg.gone()


@pytest.mark.parametrize("flags", [0, FIN, RST])
def test_segments_without_syn_and_ack_are_ignored_by_the_server_leg_before_its_answer(flags):
    leg = Leg("server")
    leg.syn()
    leg.first()
    leg.segment(leg.sport, leg.dst, seq=leg.iss, flags=flags)
    assert leg.settle() == [] and leg.unit.in_use


@LEGS
@pytest.mark.parametrize("options, limit", [(b"", 536), (mss_option(0), 536), (mss_option(333), 333),
                                            (mss_option(1460), 1460), (mss_option(9000), 1460)])
def test_segments_never_exceed_the_peers_mss(name, options, limit):
    leg = Leg(name, options=options, window=60_000)
    leg.open()
    leg.far_write(bytes(8000))
    got = leg.settle()
    assert max(len(s.payload) for s in got) == limit


@pytest.mark.parametrize("announced, used", [(1, 48), (47, 48), (48, 48), (49, 49)])
@pytest.mark.parametrize("name, takeover", [*((name, False) for name in NAMES), ("client", True), ("server", True)])
def test_the_mss_of_a_peer_has_a_floor(name, takeover, announced, used):
    leg = Leg(name, options=mss_option(announced), window=60_000, config={"initial_window": 10})
    leg.open()
    if takeover:
        leg.pair.kill("record")
        leg.settle(100)
        leg.send()                              # tells the new unit the window
    leg.far_write(bytes(400))
    got = [s for s in leg.settle(50) if s.payload]
    assert leg.take(got) == bytes(400) and {len(s.payload) for s in got} == {used, 400 % used}


@LEGS
def test_unknown_options_are_ignored(name):
    unknown = bytes([253, 4, 0xDE, 0xAD])
    leg = Leg(name, options=mss_option(800) + unknown)
    leg.open()
    leg.send(payload=b"x", options=unknown)
    leg.settle()
    assert leg.far_received() == 1
    leg.nxt += 1
    leg.far_write(bytes(2000))
    assert max(len(s.payload) for s in leg.settle()) == 800


@LEGS
@pytest.mark.parametrize("offered", [*range(15), 15, 255])
def test_window_scale_is_at_most_14_and_leaves_the_syn_alone(name, offered):
    shift = min(offered, 14)
    leg = Leg(name, options=mss_option(1000) + wscale_option(offered), window=3000, config={"rcv_wscale": 1},
              client={"wscale": 0} if name == "server" else {})
    leg.syn()
    first = leg.first()
    assert first.options[3] == b"\x01" and first.window == 8192         # ours: not scaled yet
    leg.finish()
    leg.settle()
    leg.send()                              # the largest window there was
    leg.window = 2
    leg.send(payload=b"?")
    got = leg.settle(40)
    # an echo that is not acknowledged is in the window
    assert got[-1].window in (4096, 4095)
    leg.nxt += 1
    leg.take(got)
    room = min(2 << shift, 8000)
    leg.far_write(bytes(room))
    assert len(leg.take(leg.settle())) == room                          # all there is fits: sent at once
    if room < 1000:
        leg.send()
        leg.far_write(bytes(room + 1))
        leg.send()
        assert leg.take(leg.settle()) == b""                            # a silly window
        assert len(leg.take(leg.settle(1200))) == room                  # by the timer, and not more


@LEGS
def test_no_window_scale_unless_the_peer_offers_it(name):
    leg = Leg(name, options=mss_option(1000), config={"rcv_wscale": 3},
              client={"wscale": None if name == "server" else 2})
    first = leg.open()
    assert 3 not in first.options
    leg.send(payload=b"x")
    assert leg.settle()[0].window in (8192, 8191)           # an echo is in the window until it is acknowledged


@LEGS
def test_sack_is_permitted_only_if_offered(name):
    for offer in (False, True):
        leg = Leg(name, options=mss_option(1000) + (sack_permitted_option() if offer else b""), client={"sack": offer})
        first = leg.open()
        assert (4 in first.options) == offer
        leg.send(seq=leg.nxt + 100, payload=b"x")
        assert (5 in leg.settle(20)[-1].options) == offer


def isn(name, pair=None, port=40000, **kw):
    leg = Leg(name, pair=pair, port=port, **kw)
    leg.syn()
    return leg, leg.first()


@PASSIVE
def test_isn_differs_by_tuple_and_grows_with_the_clock(name):
    numbers = {}
    for port in (40000, 40001):
        for wait in (0, 1000):
            leg = Leg(name, port=port)
            leg.settle(wait)
            leg.syn()
            numbers[port, wait] = leg.first().seq
    growth = {port: numbers[port, 1000] - numbers[port, 0] & MASK for port in (40000, 40001)}
    assert all(250 * 1000 <= g <= 250 * 1010 for g in growth.values())              # a step per 4 us
    assert min((numbers[40000, 0] - numbers[40001, 0]) & MASK, (numbers[40001, 0] - numbers[40000, 0]) & MASK) > 1000


@pytest.mark.parametrize("secret", [(1, 2), (0xDEADBEEF, 0x12345678)])
def test_isn_towards_the_server_is_the_keyed_hash_of_the_tuple_plus_clock(secret):
    leg, syn = isn("server", config={"secret": secret[0], "secret_high": secret[1]})
    ports = syn.src[1] | syn.dst[1] << 16
    message = ports.to_bytes(4, "little") + syn.dst[0].to_bytes(4, "little")
    key = secret[0].to_bytes(4, "little") + secret[1].to_bytes(4, "little")
    expected = int.from_bytes(half_siphash(message, key)[:4], "little")
    sent = next(f.time for f in leg.pair.capture if f.unit == 0 and f.link == "server" and parse_segment(f.data))
    assert syn.seq == expected + 250 * sent & MASK


@pytest.mark.parametrize("name", ["client", "server"])
def test_tuple_reopened_after_a_takeover_gets_a_later_isn(name):
    """Both units hash with the same secrets, and the clock of the one that takes over is not behind."""
    pair = FunctionalPair(cycles_per_tick=0)           # so that the local port is the same
    leg, first = isn(name, pair)
    leg.finish()
    leg.settle()
    leg.send(RST)
    leg.settle()
    assert not pair.units[0].in_use and not pair.units[1].in_use
    pair.kill("record")
    leg.settle()
    again, second = isn(name, pair)
    assert pair.active is pair.units[1] and second.src == first.src
    if name == "client":
        assert second.dst == first.dst
    assert 0 < (second.seq - first.seq & MASK) < 1 << 20
