"""Checklist, connections that carry nothing: keepalive and the idle limit, on every leg."""
import pytest

from spps.layouts.config import CONFIG
from spps.layouts.director import EndCause
from spps.layouts.flowstate import LEG, LEG_BASE, SHARED, ConnFlag
from spps_sim.checker.wire import ACK, RST
from spps_sim.model.tcp_legs import LEGS as NAMES
from spps_sim.model.tcp_legs import Leg

LEGS = pytest.mark.parametrize("name", NAMES)
PROXIED = pytest.mark.parametrize("name", ["client", "server"])
QUICK = {"keepalive": 5000, "keepalive_interval": 1000, "keepalive_probes": 3}
DEFAULTS = {c.name: c.reset for c in CONFIG}
HOUR = 3_600_000        # ticks of a ms


def opened(name, **kw):
    leg = Leg(name, **kw)
    leg.open()
    return leg


def probes(leg, segments):
    """The keepalive probes among segments: an old number, no byte."""
    return [s for s in segments if (s.flags, s.seq, s.payload) == (ACK, leg.rcv - 1, b"")]


@LEGS
def test_two_hours_then_nine_probes_75_seconds_apart_unless_registers_say_otherwise(name):
    assert [DEFAULTS[n] for n in ("keepalive", "keepalive_interval", "keepalive_probes")] == [2 * HOUR, 75_000, 9]
    leg = opened(name)
    assert leg.settle(2 * HOUR - 1000) == []
    assert len(probes(leg, leg.settle(2000))) == 1
    for _ in range(8):
        assert len(probes(leg, leg.settle(75_000))) == 1
    assert [s.flags for s in leg.settle(75_000)] == [RST | ACK] and leg.gone() and leg.reset()
    assert leg.unit.ended == {EndCause.KEEPALIVE: 1}


@LEGS
def test_no_keepalive_if_the_register_is_0(name):
    leg = opened(name, config={"keepalive": 0})
    assert leg.settle(1000 * HOUR) == []


@LEGS
def test_idle_peers_are_probed_and_those_that_answer_stay(name):
    leg = opened(name, config=QUICK)
    for _ in range(4):
        start = leg.pair.time
        while not (got := leg.settle(10)):
            assert leg.pair.time < start + 6000
        assert len(probes(leg, got)) == len(got) == 1 and got[0].ack == leg.nxt
        leg.send()
        assert leg.settle(4000) == []
    leg.send(payload=b"alive")
    leg.settle()
    assert leg.far_received() == 5


@LEGS
def test_peer_that_answers_no_keepalive_is_given_up(name):
    leg = opened(name, config=QUICK)
    got = leg.settle(20_000)
    assert [s.flags for s in got] == 3 * [ACK] + [RST | ACK] and leg.gone() and leg.reset()
    assert leg.unit.ended == {EndCause.KEEPALIVE: 1}


@LEGS
def test_traffic_puts_keepalive_off(name):
    leg = opened(name, config=QUICK | {"keepalive": 1000})
    for _ in range(8):
        leg.send(payload=b"x")
        leg.nxt += 1
        leg.take(leg.settle(100))
        leg.send()
        got = leg.settle(800)
        leg.take(got)
        assert not probes(leg, got)


@PROXIED
def test_probes_of_a_living_peer_do_not_keep_the_dead_one_at_the_far_end(name):
    far = {"client": 1, "server": 0}[name]
    leg = opened(name, config=QUICK)
    leg.pair.lose = lambda n, link, to_peer, data: link == far
    start = leg.pair.time
    while not leg.gone():
        leg.send(seq=leg.nxt - 1)
        leg.settle(500)
        assert leg.pair.time < start + 12_000
    assert leg.unit.ended == {EndCause.KEEPALIVE: 1}


@PROXIED
def test_keepalive_starts_anew_at_a_takeover(name):
    leg = opened(name, config=QUICK)
    leg.settle(4000)
    leg.pair.kill("record")
    leg.settle(100)
    leg.send()
    assert probes(leg, leg.settle(4500)) == []
    assert len(probes(leg, leg.settle(1000))) == 1
    leg.settle(10_000)
    assert leg.gone() and leg.unit.ended == {EndCause.KEEPALIVE: 1}


@PROXIED
def test_keepalive_that_was_under_way_at_a_takeover_starts_anew(name):
    leg = opened(name, config=QUICK)
    assert len(probes(leg, leg.settle(5500))) == 1
    leg.pair.kill("record")
    leg.settle(100)
    leg.send()
    assert probes(leg, leg.settle(4500)) == []
    assert len(probes(leg, leg.settle(1000))) == 1 and not leg.gone()


def test_keepalive_of_a_half_closed_connection():
    leg = opened("client", config=QUICK | {"keepalive": 3000})
    leg.other.close()
    leg.take(leg.settle())
    leg.send()
    leg.settle()
    assert len(probes(leg, leg.settle(3500))) == 1
    assert len(probes(leg, leg.settle(2000))) == 2      # and again, as it does not answer


@LEGS
def test_data_after_a_probe_without_answer_is_retransmitted_by_its_own_timer(name):
    leg = opened(name, config=QUICK | {"keepalive_interval": 60_000})
    assert len(probes(leg, leg.settle(6000))) == 1
    leg.far_write(b"x" * 100)
    sent = [s for s in leg.settle(2500) if s.payload]
    assert len(sent) >= 2 and {s.seq for s in sent} == {leg.rcv}


def test_deadlines_of_keepalive_and_of_time_wait_are_in_one_word_and_do_not_meet():
    """A round of keepalive was the last to set WS.deadline; then TIME-WAIT lasts 2 MSL, without probes."""
    leg = Leg("client", far=lambda c, what: c.close() if what == "fin" else None, config=QUICK | {"msl": 10_000})
    leg.open()
    for ticks in (5200, 5000):
        assert len(probes(leg, leg.settle(ticks))) == 1
        leg.send()
    leg.settle()
    leg.close()
    assert leg.state[0] >> ConnFlag.TIME_WAIT & 1
    assert leg.settle(19_000) == [] and leg.state[0] >> ConnFlag.TIME_WAIT & 1
    leg.settle(1500)
    assert leg.gone() and leg.unit.ended[EndCause.KEEPALIVE] == 0


# --- in a pause: the far end reads nothing, and its source is told a closed window

def paused(name, **config):
    """A leg that is told a closed window; 1000 bytes from its next number on are held."""
    leg = opened(name, config=QUICK | config)
    leg.other.reading = False
    for size in [1024] * 8 + [1000]:
        leg.send(payload=bytes(size))
        leg.nxt += size
        leg.settle(30)
    leg.nxt -= 1000
    window_probe(leg)
    assert leg.state[0] >> {"client": ConnFlag.PAUSED_0, "server": ConnFlag.PAUSED_1}[name] & 1
    return leg


def window_probe(leg):
    """The source sends the held bytes again, and is told to wait."""
    leg.send(payload=bytes(1000))
    assert [s.window for s in leg.settle(20)] == [0]


def read(leg):
    leg.other.reading = True
    leg.other.read()
    leg.settle(100)
    assert leg.far_received() == 8192 + 1000
    leg.nxt += 1000
    leg.send()


@PROXIED
@pytest.mark.parametrize("takeover", [False, True])
def test_keepalive_never_ends_a_pause_in_which_both_peers_answer(name, takeover):
    leg = paused(name)
    for n in range(60):
        assert probes(leg, leg.settle(1000)) == []
        window_probe(leg)
        if takeover and n == 20:
            leg.pair.kill("record")
            leg.settle(100)
    read(leg)
    assert len(probes(leg, leg.settle(5500))) == 1 and not leg.gone()     # and it begins again behind the pause


@PROXIED
def test_a_source_that_dies_in_a_pause_is_found_by_keepalive_after_it(name):
    leg = paused(name)
    assert leg.settle(60_000) == [] and not leg.gone()
    read(leg)
    assert len(probes(leg, leg.settle(7500))) == 3
    leg.settle(2000)
    assert leg.gone() and leg.reset() and leg.unit.ended == {EndCause.KEEPALIVE: 1}


@PROXIED
def test_a_destination_that_dies_in_a_pause_is_given_up_by_r2(name):
    leg = paused(name, retries=4)
    far = {"client": 1, "server": 0}[name]
    leg.pair.lose = lambda n, link, to_peer, data: link == far
    got = leg.settle(300_000)
    assert [s.flags for s in got] == [RST | ACK] and leg.gone() and leg.unit.ended == {EndCause.OTHER: 1}


@PROXIED
def test_a_pause_does_not_put_the_idle_limit_off(name):
    """Held bytes are not sent, and window probes and their answers are no data. It is looked at with the next probe."""
    leg = paused(name, idle_limit=20_000, rto_max=2000)
    start = leg.pair.time
    while leg.pair.time < start + 19_000:
        window_probe(leg)
        leg.settle(980)
    got = leg.settle(3000)
    assert got[-1].flags == RST | ACK and leg.gone() and leg.reset() and leg.unit.ended == {EndCause.IDLE: 1}


# --- idle limit

@LEGS
def test_a_connection_without_data_is_ended_at_the_idle_limit_although_its_peers_answer(name):
    leg = opened(name, config=QUICK | {"idle_limit": 12_000})
    start, got = leg.pair.time, []
    while not leg.gone():
        got += leg.settle(500)
        if leg.state[0] & 1:
            leg.send()
        assert leg.pair.time < start + 14_000
    assert leg.pair.time > start + 11_500
    assert got[-1].flags == RST | ACK and leg.reset() and leg.unit.ended == {EndCause.IDLE: 1}


@LEGS
@pytest.mark.parametrize("keepalive", [0, 5000])
@pytest.mark.parametrize("timestamps", [False, True])
def test_idle_limit_is_counted_from_the_last_data(name, keepalive, timestamps):
    leg = opened(name, timestamps=timestamps, config=QUICK | {"keepalive": keepalive, "idle_limit": 3000})
    for _ in range(5):
        leg.far_write(b"data")
        leg.take(leg.settle(100))
        leg.send()
        leg.take(leg.settle(2400))
        leg.send()
        assert not leg.gone()
    leg.settle(1500)
    assert leg.gone() and leg.unit.ended == {EndCause.IDLE: 1}


def test_idle_limit_of_discard_is_counted_from_the_last_data():
    leg = Leg("endpoint", config={"idle_limit": 3000})
    leg.dst = leg.dst[0], 9
    leg.open()
    for _ in range(5):
        leg.send(payload=b"data")
        leg.nxt += 4
        leg.settle(2500)
        assert not leg.gone()
    leg.settle(1500)
    assert leg.gone() and leg.unit.ended == {EndCause.IDLE: 1}


@LEGS
def test_idle_limit_holds_for_a_peer_that_answers_probes_of_its_closed_window(name):
    leg = opened(name, config={"idle_limit": 20_000})
    leg.window = 0
    leg.far_write(bytes(2000))
    leg.settle(100)
    start = leg.pair.time
    while not leg.gone():
        leg.send()
        leg.settle(400)
        assert leg.pair.time < start + 90_000
    assert leg.pair.time > start + 19_000 and leg.unit.ended == {EndCause.IDLE: 1}


@PROXIED
def test_idle_limit_starts_anew_at_a_takeover(name):
    leg = opened(name, config={"idle_limit": 5000})
    leg.settle(4000)
    leg.pair.kill("record")
    leg.settle(100)
    leg.send()
    leg.settle(4500)
    assert not leg.gone()
    leg.settle(1000)
    assert leg.gone() and leg.reset() and leg.unit.ended == {EndCause.IDLE: 1}


@LEGS
def test_defect_is_caught(name):
    leg = opened(name, config=QUICK | {"idle_limit": 9000}, defines=["BROKEN_IDLE"])
    leg.settle(30_000)
    assert not leg.gone()


@LEGS
def test_ages_are_counted_modulo_2_to_32(name):
    for base in (-3000, -(1 << 31) - 3000):
        leg = opened(name, config=QUICK, bases=(base, base))
        leg.settle(4500)
        assert not leg.gone()
        assert len(probes(leg, leg.settle(1000))) == 1


@LEGS
@pytest.mark.parametrize("before", [9000, 6000, 4999, 1])
def test_first_round_is_not_late_when_the_tick_counter_wraps_behind_it(name, before):
    """No round yet is not a round at tick 0."""
    base = -before - 5000
    leg = opened(name, config=QUICK, bases=(base, base))
    assert leg.settle(4500) == []
    assert len(probes(leg, leg.settle(1000))) == 1


@LEGS
def test_a_round_whose_time_has_passed_comes_at_once(name):
    """A timer event may be late, and another event may come before it."""
    leg = opened(name, config=QUICK)
    assert len(probes(leg, leg.settle(5500))) == 1
    leg.send()
    leg.settle()
    for event in (leg.send, lambda: hint(leg)):
        leg.unit.flowstates[0][SHARED["deadline"].word] = leg.unit.now() - 7 | 1
        event()
        assert len(probes(leg, leg.settle(50))) == 1
        leg.send()
        leg.settle()


@LEGS
def test_a_timer_event_before_its_time_does_nothing(name):
    """Microcode must take TIMER events as hints."""
    leg = opened(name, config=QUICK | {"idle_limit": 30_000})
    for ticks in (1000, 5000):                  # before the first round, and after it
        leg.settle(ticks)
        leg.send()
        leg.settle()
        hint(leg)
        assert leg.settle(1000) == [] and leg.state[LEG_BASE + LEG["retries"].word] == 0


def hint(leg):
    for subtype in (0, 2):
        leg.unit.run({"kind": 7, "subtype": subtype, "conn": 0, "seq": leg.unit.now()})


@LEGS
def test_timer_events_without_keepalive_and_timestamps_do_nothing(name):
    leg = opened(name, config={"keepalive": 0})
    for days in (0, 13, 13):
        leg.settle(days * 24 * HOUR + 1)
        hint(leg)
    leg.send(payload=b"alive")
    leg.settle()
    assert leg.far_received() == 5


@LEGS
@pytest.mark.parametrize("register, cause", [("keepalive", EndCause.KEEPALIVE), ("idle_limit", EndCause.IDLE)])
def test_a_register_that_is_lowered_counts_from_the_next_segment(name, register, cause):
    leg = opened(name, config=QUICK | {"keepalive": 100_000})
    leg.settle(5000)
    leg.unit.config[register] = 1000
    leg.send()
    leg.settle(4000)
    assert leg.gone() and leg.unit.ended == {cause: 1}
