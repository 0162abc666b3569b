"""A destination that reads nothing: its source is told a closed window once it retransmits, and neither side gives up.

The source would give up after four retransmissions (6 s), and so would the unit towards a destination that does not
answer. Ten minutes are 600,000 ticks.
"""
import random

import pytest

from spps.layouts.flowstate import ConnFlag
from spps_sim.checker.monitor import check
from spps_sim.checker.wire import ACK, FIN, RST, parse_segment
from spps_sim.model.tcp_legs import Leg
from spps_sim.model.tcp_scenarios import Transfer
from spps_sim.peers.frames import mss_option, sack_permitted_option

TEN_MINUTES = 600_000
SIZE = 60_000
#: client -- unit -- server and back: four links of 5 ticks and the record (2 ticks each way)
ROUND_TRIP = 24
SOURCES = pytest.mark.parametrize("source", ["client", "server", "both"])
PROXIED = pytest.mark.parametrize("name", ["client", "server"])


class Pause:
    """A transfer whose destinations stop reading after 2000 bytes. source: who sends, to `destinations`."""

    def __init__(self, source, *, peer=None, **kw):
        ends = {"retries": 4} | (peer or {})
        size = {"client": (SIZE, 0), "server": (0, SIZE), "both": (SIZE, SIZE)}[source]
        self.transfer = Transfer(*size, close="both", config={"retries": 4}, client=dict(ends), server=dict(ends), **kw)
        self.pair, self.source = self.transfer.pair, source
        self.pair.run(until=lambda: self.transfer.server is not None)
        for destination in self.destinations:
            destination.reading = False

    @property
    def destinations(self):
        return [end for name, end in (("server", self.transfer.client), ("client", self.transfer.server))
                if self.source in (name, "both")]

    @property
    def sources(self):
        return [end for name, end in (("client", self.transfer.client), ("server", self.transfer.server))
                if self.source in (name, "both")]

    def wait(self, ticks):
        until = self.pair.time + ticks
        self.pair.at(ticks, lambda: None)
        self.pair.run(until=lambda: self.pair.time >= until)
        return self

    def resume(self, bound=10 * ROUND_TRIP):
        """Read again: everything that the source has in flight is acknowledged within the bound."""
        had, acked = [len(d.received) for d in self.destinations], [s.snd_una for s in self.sources]
        timers = [s.deadline() for s in self.sources]
        for destination in self.destinations:
            destination.reading = True
            destination.read()
        start = self.pair.time
        self.pair.run(until=lambda: all(len(d.received) > n for d, n in zip(self.destinations, had))
                      and all(s.snd_una > n for s, n in zip(self.sources, acked)), limit=100_000)
        assert self.pair.time - start <= bound, "not within some round trips"
        return min(t for t in timers if t) - start

    def end(self):
        self.transfer.run().check()


def paused(pair):
    """Names of the links on which the source is told a closed window."""
    flags = pair.active.flowstates[0][0] if pair.active.in_use else 0
    return {name for name, bit in (("client", ConnFlag.PAUSED_0), ("server", ConnFlag.PAUSED_1)) if flags >> bit & 1}


@SOURCES
def test_ten_minutes_without_reading_cost_neither_side_its_connection(source):
    pause = Pause(source).wait(TEN_MINUTES)
    assert paused(pause.pair) == {"client", "server"} & {source} or source == "both"
    assert all(s.counters["paused"] and s.counters["probes"] > 10 for s in pause.sources)
    assert not any(end.was("timeout") or end.was("reset") for end in (pause.transfer.client, pause.transfer.server))
    assert pause.resume() > 1000, "its timer might have done it"
    pause.end()


@SOURCES
@pytest.mark.parametrize("sack", [False, True])
@pytest.mark.parametrize("how", ["lost", "record"])
def test_a_takeover_in_the_pause(source, sack, how):
    pause = Pause(source, peer={"sack": sack}).wait(TEN_MINUTES // 2)
    pause.pair.kill(how)
    pause.wait(TEN_MINUTES // 2)
    assert paused(pause.pair) == {"client", "server"} & {source} or source == "both"
    pause.resume()
    pause.end()


@pytest.mark.parametrize("source", ["client", "server"])
@pytest.mark.parametrize("how", ["lost", "record"])
def test_a_kill_at_every_event_of_the_first_probes(source, how):
    first = Pause(source).wait(100).pair.units[0].events
    last = Pause(source).wait(2000).pair.units[0].events
    assert last > first + 8
    for event in range(first, last):
        pause = Pause(source)
        pause.pair.kill_at = event, how
        pause.wait(30_000)
        assert pause.pair.killed, event
        pause.resume()
        pause.end()


@pytest.mark.parametrize("source", ["client", "server"])
def test_a_destination_that_reads_a_little_now_and_then(source):
    pause = Pause(source)
    for _ in range(5):
        pause.wait(50_000)
        pause.destinations[0].read()
    pause.wait(10)
    pause.resume()
    pause.end()


@pytest.mark.parametrize("source", ["client", "server"])
@pytest.mark.parametrize("seed", range(3))
def test_a_pause_on_links_that_lose_frames(source, seed):
    dice = random.Random(seed)
    pause = Pause(source, lose=lambda *_: dice.random() < 0.1).wait(TEN_MINUTES)
    assert not any(end.was("timeout") or end.was("reset") for end in (pause.transfer.client, pause.transfer.server))
    for destination in pause.destinations:
        destination.reading = True
        destination.read()
    pause.end()


def test_a_pause_without_a_standby():
    pause = Pause("client", standby=False).wait(TEN_MINUTES)
    pause.resume()
    pause.end()


def test_a_core_that_is_lost_in_the_pause():
    pause = Pause("client").wait(5000)
    pause.pair.units[0].restarts.add(0)
    pause.wait(TEN_MINUTES)
    assert paused(pause.pair) == {"client"}
    pause.resume()
    pause.end()


# --- one leg played by hand

class Shut:
    """A leg whose far end does not read: `held` bytes of ours wait for it, and its window is 0."""

    def __init__(self, name, held=3000, *, sack=False, **kw):
        self.leg = leg = Leg(name, options=mss_option(1024) + sack * sack_permitted_option(),
                             client={"sack": sack}, server={"sack": sack}, **kw)
        leg.open()
        leg.other.reading = False
        for size in [1024] * 8 + [1000] * (held // 1000):
            leg.send(payload=bytes(size))
            leg.nxt += size
            leg.settle(30)
        self.base = leg.nxt - held              # acknowledged

    def again(self, seq=0, size=1000, flags=ACK, **kw):
        """Send bytes from `base` + seq on, and return the answers."""
        self.leg.send(flags, seq=self.base + seq, payload=bytes(size), **kw)
        return self.leg.settle(20)


@PROXIED
def test_every_probe_is_answered_with_the_old_number_and_a_closed_window(name):
    shut = Shut(name)
    for size in (1000, 1, 1000, 3000, 1, 1) * 5:
        answer, = [s for s in shut.again(size=size) if not s.payload]
        assert (answer.flags, answer.ack - shut.base & 0xFFFFFFFF, answer.window) == (ACK, 0, 0)
    # a keepalive of a peer that has nothing in flight as it believes
    answer, = shut.again(seq=-1, size=0)
    assert (answer.ack - shut.base & 0xFFFFFFFF, answer.window) == (0, 0)


@PROXIED
def test_the_window_opens_at_once_with_the_first_byte_that_is_committed(name):
    shut = Shut(name)
    shut.again()
    assert paused(shut.leg.pair) == {name}
    shut.leg.other.reading = True
    shut.leg.other.read()
    first, *more = shut.leg.settle(60)
    assert (first.ack - shut.base & 0xFFFFFFFF) > 0 and first.window == 8192, "a new number and an open window"
    assert all(s.window == 8192 for s in more) and not paused(shut.leg.pair)


@PROXIED
def test_data_that_is_under_way_is_still_taken_and_the_answer_is_the_same(name):
    shut = Shut(name)
    shut.again()
    answer, = shut.again(seq=3000, size=500)
    assert (answer.ack - shut.base & 0xFFFFFFFF, answer.window) == (0, 0)
    answer, = shut.again(seq=4000, size=500)                # behind a hole
    assert (answer.ack - shut.base & 0xFFFFFFFF, answer.window) == (0, 0)
    shut.again(seq=3500, size=500)
    shut.leg.other.reading = True
    shut.leg.other.read()
    shut.leg.settle(300)
    assert shut.leg.far_received() == 8192 + 4500


@PROXIED
def test_data_of_the_other_direction_goes_on_and_says_the_same(name):
    shut = Shut(name)
    shut.again()
    shut.leg.other.write(bytes(2500))
    got = shut.leg.settle(30)
    assert shut.leg.take(got) == bytes(2500)
    assert {(s.ack - shut.base & 0xFFFFFFFF, s.window) for s in got} == {(0, 0)}
    shut.leg.send(seq=shut.leg.nxt)
    assert shut.leg.settle(30) == [] and shut.leg.other.snd_una == 2501


@PROXIED
def test_a_fin_that_comes_again_pauses_too_and_is_delivered(name):
    shut = Shut(name, held=1000)
    shut.leg.send(FIN | ACK)
    shut.leg.settle(20)
    answer, = shut.again(size=1000, flags=ACK | FIN)
    assert (answer.ack - shut.base & 0xFFFFFFFF, answer.window) == (0, 0)
    shut.leg.other.reading = True
    shut.leg.other.read()
    shut.leg.settle(300)
    assert shut.leg.other.fin_taken


@PROXIED
def test_nothing_else_closes_the_window(name):
    shut = Shut(name)
    for what in (dict(seq=3000, size=10),                   # new bytes
                 dict(seq=-1000, size=1000),                # acknowledged before: an ACK of ours was lost
                 dict(seq=3100, size=10),                   # behind a hole
                 dict(seq=-1, size=0)):                     # keepalive
        assert all(s.window for s in shut.again(**what)), what
    assert not paused(shut.leg.pair)


@PROXIED
def test_a_retransmission_pauses_nobody_whose_destination_takes_something(name):
    leg = Leg(name, options=mss_option(1000))
    leg.open()
    far = {"client": 1, "server": 0}[name]
    leg.pair.lose = lambda number, link, to_peer, data: link == far and to_peer and parse_segment(data).payload
    leg.send(payload=bytes(1000))
    assert leg.settle(20) == []
    for _ in range(5):
        leg.send(payload=bytes(1000))
        answer, = leg.settle(20)
        assert (answer.ack, answer.window) == (leg.nxt, 8192)


@PROXIED
def test_no_window_closes_before_the_standby_can_know(name):
    """While the sync port takes no record the old window stays; the next retransmission closes it."""
    shut = Shut(name)
    shut.leg.unit.sync_ready = 0
    answer, = shut.again()
    assert answer.window > 0
    shut.leg.unit.sync_ready = 1
    answer, = shut.again()
    assert answer.window == 0
    record = next(o for o in reversed(shut.leg.unit.segments) if o.window == 0)
    assert record.behind == shut.leg.unit.issued


@PROXIED
@pytest.mark.parametrize("sack", [False, True])
def test_a_unit_that_takes_over_keeps_the_window_closed(name, sack):
    """Nor does it report by SACK what came minutes ago: the source might take the minutes for a round trip."""
    shut = Shut(name, sack=sack)
    shut.again()
    shut.leg.pair.kill("record")
    got = shut.leg.settle(100)
    assert [(s.window, 5 in s.options) for s in got] == [(0, False)] * 4
    assert {s.ack - shut.base & 0xFFFFFFFF for s in got} == {0}
    answer, = shut.again()
    assert answer.window == 0                               # forwarded, refused by the destination, and held
    shut.leg.other.reading = True
    shut.leg.other.read()
    first, *_ = shut.leg.settle(60)
    assert (first.ack - shut.base & 0xFFFFFFFF, first.window) == (1000, 8192)


@PROXIED
def test_a_probe_into_a_closed_window_is_no_sign_of_loss(name):
    """Its answers have an old number and a window of 0; they are no duplicate ACKs (RFC 5681 §2)."""
    shut = Shut(name)
    before = shut.leg.word("ssthresh", peer=True)
    shut.leg.settle(100_000)
    assert shut.leg.word("ssthresh", peer=True) == before
    shut.leg.other.reading = True
    shut.leg.other.read()
    shut.leg.settle(15)
    assert shut.leg.far_received() == 8192 + 3000, "all that was held leaves at once"


@PROXIED
def test_a_reset_in_the_pause_has_the_number_that_the_destination_expects(name):
    """A window probe was beyond its window, and a RST there would be dropped (RFC 5961 §3)."""
    shut = Shut(name)
    shut.leg.settle(30_000)
    shut.leg.send(RST, seq=shut.base)
    shut.leg.settle()
    assert shut.leg.gone() and shut.leg.other.was("reset")


# --- programs with an injected fault

def given_up(define):
    """The source times out."""
    pause = Pause("client", defines=[define]).wait(TEN_MINUTES)
    return pause.transfer.client.was("timeout")


def told_too_early(define):
    """What the monitor says of a pause, of a destination that reads slowly, and of lost ACKs."""
    dice, found = random.Random(1), []
    for lose in (None, lambda *_: dice.random() < 0.1):
        pause = Pause("client", defines=[define], lose=lose).wait(3000)
        pause.destinations[0].reading = True
        pause.destinations[0].read()
        pause.transfer.run()
        found += check(pause.pair.capture).violations
    return "I2" in {violation.invariant for violation in found}


def opened_by_a_takeover(define):
    """The source is told an open window although nothing was committed."""
    pause = Pause("client", defines=[define]).wait(3000)
    pause.pair.kill("record")
    pause.wait(100)
    return parse_segment([f.data for f in pause.pair.capture if f.link == "client" and f.unit == 1][-1]).window > 0


FAULTS = {"BROKEN_NO_PAUSE": given_up, "BROKEN_PAUSE_NEW_DATA": told_too_early, "BROKEN_PAUSE_OPEN": told_too_early,
          "BROKEN_PAUSE_FORGOTTEN": opened_by_a_takeover}


@pytest.mark.parametrize("define", FAULTS)
def test_defect_is_caught(define):
    assert FAULTS[define](define) and not FAULTS[define]("NO_FAULT")
