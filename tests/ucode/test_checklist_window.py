"""Checklist, windows: items 40 to 45 of hdl/spps/ucode/CHECKLIST.md, on every leg they concern."""
import pytest

from spps_sim.checker.wire import ACK, FIN
from spps_sim.model.tcp_legs import LEGS as NAMES
from spps_sim.model.tcp_legs import Leg
from spps_sim.peers.frames import mss_option

LEGS = pytest.mark.parametrize("name", NAMES)
PROXIED = pytest.mark.parametrize("name", ["client", "server"])


def opened(name, **kw):
    leg = Leg(name, options=mss_option(1000), **kw)
    leg.open()
    return leg


def closed(name, data=5000, **kw):
    """A leg whose window is closed with data of ours waiting behind it."""
    leg = opened(name, **kw)
    leg.window = 0
    leg.send()
    leg.settle()
    leg.far_write(bytes(data))
    leg.settle(20)
    return leg


@LEGS
def test_closed_window_is_probed_with_growing_intervals_and_never_given_up(name):
    leg = closed(name, config={"retries": 4, "rto_max": 4000})
    times = []
    for _ in range(20):
        start = leg.pair.time
        while not (got := leg.settle(50)):
            assert leg.pair.time < start + 10_000
        probe = got[-1]
        assert len(probe.payload) == 1 and probe.seq == leg.rcv
        times.append(leg.pair.time)
        leg.send()                              # answered: still closed
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert gaps[1] > 1.5 * gaps[0] and max(gaps) <= 4100 and leg.unit.in_use
    leg.window = 8000
    leg.send()
    assert leg.take(leg.settle()) == bytes(5000)


@LEGS
def test_probes_that_are_not_answered_are_given_up(name):
    leg = closed(name, config={"retries": 4, "rto_max": 4000})
    leg.settle(60_000)
    assert leg.gone() and leg.reset()


def test_a_fin_behind_a_full_window_does_not_open_it():
    leg = opened("endpoint", config={"window": 1000})
    leg.window = 0                              # no echo leaves
    leg.send(payload=bytes(500))
    leg.nxt += 500
    leg.send(ACK | FIN, payload=bytes(500))
    leg.nxt += 501
    last = leg.settle(20)[-1]
    assert (last.ack, last.window) == (leg.nxt, 0)


def test_probe_into_our_closed_window_is_answered_every_time():
    leg = opened("endpoint", config={"window": 1000})
    leg.window = 0                              # no echo leaves, so nothing more is taken
    for _ in range(2):
        leg.send(payload=bytes(500))
        leg.nxt += 500
    assert leg.settle()[-1].window == 0
    for _ in range(20):
        leg.send(payload=b"p")
        answer, *_ = [s for s in leg.settle(30) if not s.payload]      # besides its own probes
        assert (answer.flags, answer.ack, answer.window) == (ACK, leg.nxt, 0)


@PROXIED
def test_zero_window_of_the_destination_closes_the_window_of_the_source_without_a_drop(name):
    leg = opened(name, config={"window": 2000})
    far = leg.other
    far.reading = False
    total, sent, last = far.config.window + 2000, 0, None
    while sent < total:
        size = min(1000, total - sent)
        leg.send(payload=bytes(size))
        leg.nxt, sent = leg.nxt + size, sent + size
        got = leg.settle(60)
        last = got[-1] if got else last
    last = (leg.settle(1500) or [last])[-1]
    assert last.ack == leg.nxt - 2000 and last.window == 2000           # what is held stays charged: full
    # some of it was beyond the window when it came first
    leg.send(seq=last.ack + 1000, payload=bytes(1000))
    leg.settle(5000)
    far.reading = True
    far.read()
    leg.settle(2000)
    assert len(far.received) == total


@LEGS
def test_small_openings_of_the_window_are_not_filled_at_once(name):
    leg = closed(name)
    leg.settle(400)                             # some probes
    for window in (50, 60, 70):
        leg.window = window
        leg.send()
        assert all(len(s.payload) <= 1 for s in leg.settle(30))
    leg.window = 4096                           # half of what it has been
    leg.send()
    got = leg.settle()
    assert leg.take(got)[:1] == b"\0" and max(len(s.payload) for s in got) == 1000


@LEGS
def test_small_window_is_used_after_a_while(name):
    leg = closed(name)
    leg.window = 300
    leg.send()
    assert all(len(s.payload) <= 1 for s in leg.settle(60))
    got = leg.settle(1500)
    assert 300 in {len(s.payload) for s in got} and max(len(s.payload) for s in got) <= 300


@LEGS
def test_peer_that_shrinks_its_window_gets_nothing_beyond_it_again(name):
    leg = opened(name)
    leg.far_write(bytes(5000))
    got = leg.settle()
    assert sum(len(s.payload) for s in got) == 5000
    for window in (1500, 700, 0):
        leg.window = window
        leg.send()                              # acknowledges nothing, and takes back what it gave
        later = leg.settle(1200)
        assert all(len(s.payload) <= max(window, 1) and s.seq + len(s.payload) <= leg.rcv + max(window, 1)
                   for s in later if s.payload)
    leg.window = 8000
    leg.send()
    seen = bytearray()
    for _ in range(12):
        seen += leg.take(leg.settle(400))
        leg.send()
    assert bytes(seen) == bytes(5000)


@LEGS
def test_shrunk_window_lets_acknowledgements_pass(name):
    leg = opened(name)
    leg.far_write(bytes(3000))
    leg.settle()
    leg.window = 0
    leg.send(ack=leg.rcv + 1000)
    leg.settle(30)
    leg.send(payload=b"still heard", ack=leg.rcv + 1000)
    leg.settle()
    assert leg.far_received() >= 11


@LEGS
def test_fin_waits_for_the_window_and_is_probed(name):
    leg = opened(name)
    leg.window = 0
    leg.send()
    leg.settle()
    if leg.other:
        leg.other.close()
    else:
        leg.send(FIN | ACK)                     # the endpoint answers with its FIN
        leg.nxt += 1
    got = leg.settle(3000)
    assert any(s.flags & FIN and s.seq == leg.rcv for s in got)
