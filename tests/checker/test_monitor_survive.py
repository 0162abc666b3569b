"""The monitor on the promise of protection (I5): what the pair called protected survives the next failure.

A connection is protected when the present standby has confirmed its full record and heartbeats depend on echoes.
"""
import pytest

from spps_sim.checker.monitor import check
from tests.checker.env_monitor import Env, found

RST = "RA"


def alone():
    """After a takeover by unit 1, ten bytes acknowledged."""
    t = Env()
    t.handshake()
    t.heartbeat()
    t.forward()
    t.record()
    t.speak(11)
    t.take_over()
    t.speak(11)
    return t


def joined():
    """Unit 0 is the standby again and has the connection."""
    t = alone()
    t.rejoin()
    return t


def reset(t):
    t.tcp("client", True, RST, 1, 11)


def reset_behind_an_ack(t):
    t.speak(11)
    t.tcp("client", True, RST, 1, 11)


def silent(t):
    t.time += 10**9
    t.heartbeat(depends=False, echo=False)


def late(t):
    t.time += 10**9
    t.speak(11)


def silent_until_the_next_takeover(t):
    t.sync(4, t.number)
    t.time += 10**9
    t.take_over()


def stuck(t):
    """What the server had acknowledged is not acknowledged to the client."""
    t.speak(11)
    t.time += 10**9
    t.speak(11)


@pytest.mark.parametrize("bend, often", [(reset, 1), (reset_behind_an_ack, 1), (silent, 2), (late, 2),
                                         (silent_until_the_next_takeover, 2)],
                         ids=lambda v: getattr(v, "__name__", ""))
def test_what_was_protected_after_a_rejoin_survives(bend, often):
    t = joined()
    t.take_over()
    bend(t)
    assert found(t) == ["I5"] * often


@pytest.mark.parametrize("ack, wrong", [(11, ["I5"]), (21, [])])
def test_what_was_protected_goes_on_with_what_its_destination_has(ack, wrong):
    t = joined()
    t.forward(11)
    t.take_over()
    t.speak(11)
    t.time += 10**6
    t.speak(ack)
    t.time += 10**9
    t.speak(ack)
    assert found(t) == wrong


def has_no_record_in_this_epoch(t):
    t.rejoin(full=False)


def has_a_full_record_that_nobody_confirmed(t):
    t.rejoin(confirm=False)


def has_only_a_delta_in_this_epoch(t):
    t.rejoin(full=False)
    t.record()


def has_a_confirmed_delta_before_its_full_record(t):
    t.rejoin(full=False)
    t.record(confirm=False)
    t.record(kind=1, confirm=False)
    t.sync(2, t.number - 1)


def has_only_a_delta_since_its_standby_began_anew(t):
    t.rejoin()
    t.sync(4, 0)
    t.record()


def runs_without_a_standby(t):
    t.rejoin()
    t.heartbeat(depends=False, echo=False)


def has_a_standby_that_began_anew(t):
    t.rejoin()
    t.sync(4, 0)


def is_retired(t):
    t.rejoin()
    t.record(kind=2)


@pytest.mark.parametrize("end", [reset, reset_behind_an_ack, silent], ids=lambda end: end.__name__)
@pytest.mark.parametrize("what", [has_no_record_in_this_epoch, has_a_full_record_that_nobody_confirmed,
                                  has_only_a_delta_in_this_epoch,
                                  has_a_confirmed_delta_before_its_full_record,
                                  has_only_a_delta_since_its_standby_began_anew, runs_without_a_standby,
                                  has_a_standby_that_began_anew, is_retired], ids=lambda what: what.__name__)
def test_what_was_not_protected_may_be_refused(what, end):
    t = alone()
    what(t)
    t.take_over()
    end(t)
    assert found(t) == []


def test_a_standby_that_began_anew_protects_what_it_was_told_again():
    t = joined()
    t.sync(4, 0)
    t.record(kind=1)
    t.take_over()
    reset(t)
    assert found(t) == ["I5"]


def test_who_speaks_is_answered_although_it_was_not_protected():
    t = alone()
    t.rejoin(full=False)
    t.take_over()
    t.time += 10**9
    t.tcp("client", False, "PA", 11, 1, b"0123456789")
    t.time += 10**6
    t.tcp("client", True, RST, 1, 11)
    assert found(t) == []
    del t.frames[-1]
    silent(t)
    assert found(t) == ["I5"]


def test_a_stale_unit_that_takes_numbers_back_is_found():
    t = alone()
    t.forward(11)
    t.speak(21)
    t.sync(4, t.number)         # a standby, without any record of this epoch
    t.take_over()
    t.speak(11)
    assert set(found(t)) == {"I2"}


def test_a_reset_long_after_the_takeover_is_another_matter():
    t = joined()
    t.take_over()
    t.speak(11)
    t.time += 10**9
    reset(t)
    assert found(t) == []


@pytest.mark.parametrize("side", ["client", "server"])
def test_a_peer_may_reset_what_was_protected(side):
    t = joined()
    t.take_over()
    t.speak(11)
    t.tcp(side, False, "R", 11 if side == "client" else 1, 1)
    for link in ("client", "server"):
        t.tcp(link, True, RST, 1 if link == "client" else 11, 11 if link == "client" else 1)
    assert found(t) == []


def test_a_connection_that_was_lost_gives_way_to_a_new_one_of_its_ports():
    t, again = alone(), 1 << 28
    t.rejoin(full=False)
    t.take_over()
    t.tcp("client", False, "S", again, 0)
    t.tcp("client", True, "SA", 5000, again + 1)
    t.tcp("client", False, "A", again + 1, 5001)
    report = check(t.frames)
    assert not report.violations and report.connections == 2, report.violations


@pytest.mark.parametrize("goes_on", [True, False])
def test_a_connection_that_goes_on_does_not_give_way(goes_on):
    t = alone()
    t.rejoin(full=False)
    t.take_over()
    if goes_on:
        t.speak(11)
    t.tcp("client", False, "S", 1 << 28, 0)
    t.tcp("client", True, "A", 1, 50)
    assert set(found(t)) == ({"I1"} if goes_on else set())


def close(t):
    """Both peers have sent their FIN; the pair's to the client is not acknowledged."""
    t.tcp("client", False, "FA", 11, 1)
    t.tcp("server", True, "FA", 11, 1)
    t.tcp("server", False, "FA", 1, 12)
    t.snd_una[1] += 1
    t.record(confirm=t.epoch == 2)
    t.tcp("client", True, "FA", 1, 12)


def test_a_repeated_fin_after_the_end_may_be_reset():
    t = joined()
    t.take_over()
    t.speak(11)
    close(t)
    t.tcp("client", False, "A", 12, 2)
    t.tcp("client", False, "FA", 11, 1)
    t.tcp("client", True, "R", 2, 12)
    assert found(t) == []


def test_what_ends_between_two_takeovers_owes_nothing_after_the_second():
    t = joined()
    close(t)
    t.take_over()
    t.tcp("client", False, "A", 12, 2)
    t.sync(4, t.number)
    t.take_over()
    silent(t)
    assert found(t) == []
