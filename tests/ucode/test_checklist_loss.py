"""Checklist, retransmission and congestion: items 46 to 55 of hdl/spps/ucode/CHECKLIST.md, each leg, both modules."""
import random

import pytest

from spps.ucode.iss import CoreIss
from spps.ucode.programs import default_image
from spps_sim.checker.wire import RST, parse_segment
from spps_sim.model.tcp_legs import LEGS as NAMES
from spps_sim.model.tcp_scenarios import Transfer
from tests.ucode.env_loss import LEGS, MODULES, SACK, opened, sent


def gaps(times):
    return [b - a for a, b in zip(times, times[1:])]


@LEGS
@pytest.mark.parametrize("lost, rto", [(False, 1000), (True, 3000)])
def test_first_timeout_is_one_second_or_three_if_the_syn_was_lost(name, lost, rto):
    leg = opened(name, lose_first=lost, config={"rto_min": 1000})
    leg.far_write(b"data")
    leg.settle(10_000)
    times = [t for t, s in sent(leg)]
    assert rto <= gaps(times)[0] <= rto + 5
    backed_off = 2 * gaps(times)[-1]
    leg.send(ack=leg.rcv + 4)       # of a segment that was retransmitted: no sample, and what backing off added stays
    leg.settle()
    leg.rcv += 4
    leg.far_write(b"more")
    leg.settle(20_000)
    times = [t for t, s in sent(leg) if s.seq == leg.rcv]
    assert abs(gaps(times)[0] - backed_off) <= 20


@LEGS
def test_retransmitted_segments_are_not_measured(name):
    """Karn: an ACK that comes long after a retransmitted segment changes no estimate; that of a new one does."""
    leg = opened(name, config={"rto_min": 10})
    leg.far_write(b"first")
    leg.take(leg.settle())
    leg.send()
    leg.settle()
    leg.far_write(b"second")
    leg.settle(4000)
    leg.take([s for t, s in sent(leg)])
    leg.send()
    leg.settle()
    leg.far_write(b"third")
    leg.take(leg.settle())
    leg.send()
    leg.settle()
    leg.far_write(b"fourth")
    start = leg.pair.time
    leg.settle(400)
    times = [t for t, s in sent(leg) if s.payload == b"fourth" and t >= start]
    assert gaps(times)[0] < 300


@LEGS
def test_timeout_doubles_up_to_its_limit_and_a_measured_segment_sets_it_back(name):
    leg = opened(name, config={"rto_max": 1600, "retries": 12})
    leg.far_write(b"lost for long")
    leg.settle(8000)
    times = [t for t, s in sent(leg)]
    intervals = gaps(times)
    assert all(abs(b - min(2 * a, 1600)) <= 8 for a, b in zip(intervals, intervals[1:])) and intervals[-1] >= 1600
    leg.take(leg.settle(1700))
    leg.send()
    leg.settle()
    leg.far_write(b"measured")
    leg.take(leg.settle(20))
    leg.send()
    leg.settle()
    leg.far_write(b"again")
    leg.settle(3000)
    times = [t for t, s in sent(leg) if s.payload == b"again"]
    assert gaps(times)[0] <= intervals[0] + 5


def timeout(leg, data=b"?" * 50):
    """Ticks until data of ours to which nothing answers is sent again; it is acknowledged then."""
    leg.far_write(data)
    start = leg.pair.time
    while len(times := [t for t, s in sent(leg) if s.seq == leg.rcv and t >= start]) < 2:
        leg.settle(10)
    leg.take(leg.settle(10))
    leg.rcv = (times and next(s for t, s in sent(leg) if t == times[0]).seq + len(data)) & 0xFFFFFFFF
    return times[1] - times[0]


@pytest.mark.parametrize("timestamps", [False, True], ids=["plain", "timestamps"])
@pytest.mark.parametrize("name, takeover", [*((name, False) for name in NAMES), ("client", True), ("server", True)])
def test_timeout_grows_to_a_round_trip_that_is_longer_than_that_of_the_handshake(name, timestamps, takeover):
    """Nothing is lost, and everything is acknowledged after 500 ticks: few of 60 segments are sent twice."""
    leg = opened(name, timestamps=timestamps, config={"rto_initial": 300} if takeover else {})
    if takeover:
        leg.far_write(b"before")
        leg.take(leg.settle(20))
        leg.send()
        leg.settle()
        leg.pair.kill("record")
        leg.settle(100)
    first = leg.pair.time
    for n in range(60):
        leg.far_write(bytes([n]) * 100)
        got = leg.settle(60)
        echo = leg.echo                         # of the first one: so far away is the peer
        leg.take(got + leg.settle(440))
        leg.echo = echo
        leg.send()
        leg.settle(20)
    unit = leg.unit.name
    seen = [parse_segment(f.data) for f in leg.pair.capture
            if f.unit == unit and f.time >= first and f.link == ("server" if name == "server" else "client")]
    data = [s.seq for s in seen if s and s.payload]
    assert len(set(data)) >= 60 and len(data) - len(set(data)) <= 6


@LEGS
def test_backed_off_timeout_stays_until_a_segment_that_was_sent_once_is_measured(name):
    leg = opened(name)
    first = timeout(leg)
    for factor in (2, 4, 8):                        # each was sent twice
        leg.send()
        leg.settle()
        assert factor * first - 20 <= timeout(leg) <= factor * first + 20
    leg.send()
    leg.settle()
    leg.far_write(b"once")
    leg.take(leg.settle(20))
    leg.send()
    leg.settle()
    assert timeout(leg) <= first + 20


@LEGS
@pytest.mark.parametrize("distance", [0, 1, -70_000, 1 << 31])
def test_with_timestamps_what_was_sent_twice_is_measured_too_unless_the_echo_makes_no_sense(name, distance):
    leg = opened(name, timestamps=True)
    first = timeout(leg)
    leg.echo = leg.echo + distance & 0xFFFFFFFF
    if distance == 1:
        leg.echo += 1000
    leg.send()
    leg.settle()
    expected = first if distance == 0 else 2 * first
    assert abs(timeout(leg) - expected) <= 20


@LEGS
def test_timeout_is_three_seconds_after_a_lost_syn_with_timestamps_too(name):
    leg = opened(name, timestamps=True, lose_first=True)
    assert 3000 <= timeout(leg) <= 3005


@LEGS
@pytest.mark.parametrize("lost", [False, True])
def test_probes_of_a_closed_window_back_off_for_themselves(name, lost):
    """When the window opens the timeout is that from before, which losses may have backed off."""
    leg = opened(name)
    expected = timeout(leg)
    leg.send()
    leg.settle()
    if lost:
        expected *= 2
    else:
        leg.far_write(b"once")
        leg.take(leg.settle(20))
        leg.send()
    leg.window = 0
    leg.send()
    leg.settle()
    leg.far_write(b"!" * 60)
    for _ in range(100):
        if leg.settle(40):
            leg.send()
    leg.window = 8192
    leg.send()
    leg.settle(2000)
    times = [t for t, s in sent(leg) if s.seq == leg.rcv and len(s.payload) == 60]
    assert abs(gaps(times)[0] - expected) <= 20


@LEGS
@pytest.mark.parametrize("rto_min", [50, 400])
def test_smallest_timeout_is_a_register(name, rto_min):
    leg = opened(name, config={"rto_min": rto_min})
    leg.far_write(b"one")
    leg.take(leg.settle())
    leg.send()
    leg.settle()
    leg.far_write(b"two")
    leg.settle(1000)
    first = gaps([t for t, s in sent(leg) if s.payload == b"two"])[0]
    assert rto_min <= first <= max(rto_min, 150) + 5


@MODULES
@LEGS
def test_third_duplicate_ack_retransmits_and_partial_acks_retransmit_the_next_hole(name, defines):
    leg = opened(name, defines=defines, config={"initial_window": 10})
    leg.far_write(bytes(8000))
    assert sum(len(s.payload) for s in leg.settle()) == 8000
    for _ in range(2):
        leg.send()
    assert leg.settle(20) == []
    leg.send()
    again = leg.settle(20)
    assert again[0].seq == leg.rcv and len(again) == 1
    leg.send(ack=leg.rcv + 3000)                # partial: another hole there
    again = [s for s in leg.settle(20) if s.payload]
    assert [s.seq for s in again] == [leg.rcv + 3000]
    leg.send(ack=leg.rcv + 8000)
    assert [s for s in leg.settle(50) if s.payload] == []


@MODULES
@LEGS
def test_timeout_sets_cwnd_to_one_segment_and_ssthresh_by_flight(name, defines):
    leg = opened(name, defines=defines)
    leg.far_write(bytes(8000))
    leg.settle()
    leg.settle(1100)
    beta = 0.7 if defines else 0.5
    assert leg.word("cwnd") == 1000
    assert abs(leg.word("ssthresh") - max(beta * 8000, 2000)) < 2


@MODULES
@LEGS
@pytest.mark.parametrize("segments", [1, 4, 10])
def test_initial_window_is_a_register(name, segments, defines):
    leg = opened(name, mss=1460, defines=defines, window=60_000,
                 config={"initial_window": segments, "window": 16384})
    leg.far_write(bytes(14_600) if name != "endpoint" else bytes(7300))
    got = [s for s in leg.settle() if s.payload]
    assert len({s.seq for s in got}) == (segments if name != "endpoint" else min(segments, 5))


@MODULES
@LEGS
def test_after_an_idle_time_cwnd_is_that_of_a_new_connection(name, defines):
    """`initial_window` 2; grown to more, then nothing for a while, then a burst (RFC 5681 §4.1)."""
    leg = opened(name, mss=1460, defines=defines, window=60_000,
                 config={"initial_window": 2, "window": 16384, "rto_min": 400})

    def burst():
        """Segments sent before the first ACK."""
        leg.far_write(bytes(7300))
        first = {s.seq for s in leg.settle(25) if s.payload}
        for _ in range(8):
            leg.take([s for t, s in sent(leg)])
            leg.send()
            leg.settle(25)
        return len(first)
    sizes = [burst() for _ in range(4)]
    assert sizes[0] == 2 and sizes[-1] == 5
    leg.settle(100)                             # not longer than the timeout
    assert burst() == 5
    leg.settle(500)
    assert burst() == 2


@LEGS
def test_peer_that_never_answers_is_given_up_and_the_other_leg_is_told(name):
    leg = opened(name, config={"retries": 3, "rto_max": 2000})
    leg.far_write(b"anybody there?")
    got = leg.settle(20_000)
    assert len([s for s in got if s.payload]) == 4 and leg.gone() and leg.reset()
    assert got[-1].flags & RST and got[-1].seq == leg.rcv + 14


@LEGS
@pytest.mark.parametrize("window", [2500, 999])
def test_what_is_retransmitted_stays_within_the_peers_right_edge(name, window):
    leg = opened(name)
    leg.far_write(bytes(5000))
    leg.settle()
    leg.window = window
    for _ in range(3):
        leg.send()
    leg.settle(5000)
    late = [s for t, s in sent(leg) if t > leg.pair.time - 5000]
    assert late and all(s.seq + len(s.payload) <= leg.rcv + window for s in late)


@MODULES
@pytest.mark.parametrize("sack", [{}, SACK], ids=["plain", "sack"])
@pytest.mark.parametrize("seed", range(3))
def test_random_loss_of_every_kind_of_segment(defines, sack, seed):
    dice = random.Random(seed)
    Transfer(up=40_000, down=40_000, close="both", defines=defines, lose=lambda *_: dice.random() < 0.08,
             **sack).run().check()


@MODULES
@pytest.mark.parametrize("close", ["client", "server", "both"])
def test_transfers_with_each_module(defines, close):
    Transfer(up=60_000, down=60_000, close=close, defines=defines).run().check()


@MODULES
@pytest.mark.parametrize("how", ["lost", "record"])
def test_survives_kills_with_each_module(defines, how):
    dice = random.Random(9)
    for k in range(8, 120, 9):
        transfer = Transfer(up=20_000, down=12_000, defines=defines, lose=lambda *_: dice.random() < 0.03, **SACK)
        transfer.pair.kill_at = k, how
        transfer.run(limit=100_000)
        assert not transfer.problems(), (k, transfer.problems())


@pytest.mark.parametrize("every", [7, 40])
def test_modules_can_be_exchanged_while_connections_live(every):
    dice = random.Random(2)
    transfer = Transfer(up=60_000, down=60_000, close="both", lose=lambda *_: dice.random() < 0.04, **SACK)
    unit, run = transfer.pair.units[0], transfer.pair.units[0].run
    images = [default_image(()), default_image(("CUBIC",))]

    def exchanged(fields):
        if unit.events % every == 0:
            memories = [core.mem for core in unit.cores]
            unit.cores = [CoreIss(images[unit.events // every % 2], csr=unit.csr, seed=unit.events) for _ in memories]
            for core, memory in zip(unit.cores, memories):
                core.mem = memory
        return run(fields)
    unit.run = exchanged
    transfer.run().check()


def test_both_modules_fit_the_smallest_instruction_memory():
    assert len(default_image(()).words) < len(default_image(("CUBIC",)).words) <= 4096
