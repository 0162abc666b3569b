"""The monitor across takeovers and rejoins: what needs a confirmation when (I1), and who may emit (I4).

What a connection may expect of the next failure (I5) is in test_monitor_survive.py.
"""
import pytest

from spps_sim.checker.monitor import check
from tests.checker.env_monitor import P_ISN_C, P_ISN_V, Env, found


def lasting(rounds=3, quiet=False, epoch=1, number=0):
    """An honest pair over takeovers in alternating units, each with a rejoin; then the connection ends."""
    t = Env()
    t.epoch, t.number = epoch, number
    t.handshake()
    t.heartbeat()
    at = 1
    for _ in range(rounds):
        t.forward(at)
        t.record()
        t.tcp("client", True, "A", 1, at + 10)
        t.take_over(quiet)
        t.speak(at + 10)
        t.heartbeat(depends=False, echo=False)
        t.forward(at + 10)
        t.tcp("client", True, "A", 1, at + 20)          # nobody confirms
        t.forward(at + 20)
        t.sync(4, t.number)                             # the other unit is the standby
        t.record(kind=1, confirm=False)
        t.tcp("client", True, "A", 1, at + 30)          # left before the full record
        t.sync(4, t.number)                             # an echo confirms, too
        t.heartbeat()
        at += 30
    t.forward(at)
    t.record()
    t.tcp("client", True, "A", 1, at + 10)
    return t, at + 10


@pytest.mark.parametrize("how", [{}, {"quiet": True}, {"epoch": 0xFFFE, "number": 2**32 - 3}], ids=str)
def test_accepts_three_takeovers_in_alternating_units_with_rejoins(how):
    t, end = lasting(**how)
    report = check(t.frames)
    assert not report.violations, report.violations[0]
    assert t.unit == 1 and len(report.takeovers) == 3 and report.connections == 1
    assert report.checks["I1"] == (end - 1) // 10 and report.checks["I5"] == 6


def rejoined():
    """The connection is protected again, by unit 1, with ten bytes acknowledged."""
    t, _ = lasting(1)
    return t


def without_confirmation(t):
    t.forward(41)
    t.record(confirm=False)
    t.tcp("client", True, "A", 1, 51)


def confirmed_in_the_epoch_before(t):
    t.forward(41)
    t.record(confirm=False)
    t.sync(2, t.number, epoch=t.epoch - 1)
    t.tcp("client", True, "A", 1, 51)


def confirmed_by_the_active_itself(t):
    t.forward(41)
    t.record(confirm=False)
    t.sync(2, t.number, unit=t.unit)
    t.tcp("client", True, "A", 1, 51)


def confirmed_beyond_what_was_issued(t):
    t.forward(41)
    t.record(confirm=False)
    t.sync(2, t.number + 1)
    t.tcp("client", True, "A", 1, 51)


def numbers_begin_anew(t):
    t.take_over(quiet=True)
    t.speak(41)
    t.number = 0
    t.record(confirm=False)


def number_goes_back(t):
    t.sync(3, t.number - 1, 1)


def two_records_of_one_number(t):
    t.record(confirm=False)
    t.number -= 1
    t.snd_una[1] += 10
    t.record(confirm=False)


def confirmed_in_a_copy_that_the_standby_drops(t):
    t.record()
    t.forward(41)
    t.number -= 1
    t.record()
    t.tcp("client", True, "A", 1, 51)


def confirmed_by_a_standby_that_has_forgotten_it(t):
    t.forward(41)
    t.record(confirm=False)
    t.sync(4, 0)
    t.sync(2, t.number)
    t.tcp("client", True, "A", 1, 51)


def more_than_the_full_record_says(t):
    t.take_over()
    t.speak(41)
    t.rejoin(confirm=False)
    t.forward(41)
    t.tcp("client", True, "A", 1, 51)


def without_confirmation_although_the_heartbeat_was_echoed(t):
    t.heartbeat()
    without_confirmation(t)
    t.heartbeat(depends=False, echo=False)


def without_confirmation_and_the_next_heartbeat_depends(t):
    t.heartbeat(echo=False)
    without_confirmation(t)
    t.heartbeat(echo=False)
    t.heartbeat(depends=False, echo=False)


def without_confirmation_until_the_end(t):
    t.heartbeat(echo=False)
    without_confirmation(t)


def without_confirmation_until_the_next_takeover(t):
    t.heartbeat(echo=False)
    without_confirmation(t)
    t.take_over()
    t.speak(51)


@pytest.mark.parametrize("bend", [
    without_confirmation, confirmed_in_the_epoch_before, confirmed_by_the_active_itself,
    confirmed_beyond_what_was_issued, numbers_begin_anew, number_goes_back, two_records_of_one_number,
    confirmed_in_a_copy_that_the_standby_drops, confirmed_by_a_standby_that_has_forgotten_it,
    more_than_the_full_record_says,
    without_confirmation_although_the_heartbeat_was_echoed, without_confirmation_and_the_next_heartbeat_depends,
    without_confirmation_until_the_end, without_confirmation_until_the_next_takeover,
], ids=lambda bend: bend.__name__)
def test_an_ack_needs_what_the_present_standby_has_confirmed(bend):
    t = rejoined()
    bend(t)
    assert found(t) == ["I1"]


def test_the_old_unit_is_judged_by_its_own_epoch():
    t = Env()
    t.handshake()
    t.forward()
    t.record(confirm=False)
    t.take_over()
    t.unit = 0
    t.tcp("client", True, "A", 1, 1)            # the switch has not changed yet
    assert found(t) == []
    t.tcp("client", True, "A", 1, 11)
    assert found(t) == ["I1"]


def test_a_record_that_is_sent_again_is_the_same_record():
    t = rejoined()
    t.record(confirm=False)
    t.number -= 1
    t.record(confirm=False)
    assert found(t) == []


def test_a_confirmed_record_may_be_sent_again_in_any_state():
    t = rejoined()
    t.record()
    t.number -= 1
    t.snd_una[1] += 10
    t.record()
    assert found(t) == []


def test_a_heartbeat_may_say_late_that_the_unit_has_gone_on_alone():
    t = rejoined()
    t.heartbeat(echo=False)
    without_confirmation(t)
    t.heartbeat(depends=False, echo=False)
    t.forward(51)
    t.tcp("client", True, "A", 1, 61)
    assert found(t) == []


def test_an_echo_of_a_standby_that_has_missed_records_removes_no_doubt():
    t = rejoined()
    t.heartbeat(echo=False)
    t.sync(4, 0)
    without_confirmation(t)
    t.heartbeat(depends=False, echo=False)
    assert found(t) == []


@pytest.mark.parametrize("offset, wrong", [(51, []), (61, ["I1"])])
def test_what_was_committed_without_a_standby_needs_none_afterwards(offset, wrong):
    """The same standby is heard of again; nothing was issued meanwhile."""
    t = rejoined()
    t.heartbeat(depends=False, echo=False)
    t.forward(41)
    t.heartbeat()
    if offset == 61:
        t.forward(51)
    t.tcp("client", True, "A", 1, offset)
    assert found(t) == wrong


def test_a_unit_that_takes_over_is_alone_until_a_heartbeat_says_otherwise():
    t = rejoined()
    t.take_over(quiet=True)
    t.speak(41)
    t.record(kind=1, confirm=False)
    t.forward(41)
    t.tcp("client", True, "A", 1, 51)
    t.heartbeat(depends=False, echo=False)
    assert found(t) == []


def test_violations_are_in_order_of_time():
    t = rejoined()
    t.heartbeat(echo=False)
    without_confirmation(t)
    t.tcp("client", True, "A", 1, 51, window=4000)
    assert found(t) == ["I1", "I2"]


@pytest.mark.parametrize("record, wrong", [(True, []), (False, ["I1"])])
def test_a_record_before_a_late_syn_ack_counts_for_the_connection_that_comes(record, wrong):
    """Our SYN-ACK to a connection that was reset comes behind the full record of the next one of its ports."""
    t, options, again = Env(), [("MSS", 1460)], 1 << 28
    t.tcp("client", False, "S", again, 0, options=options)
    t.tcp("client", False, "S", 0, 0, options=options)
    t.tcp("client", True, "SA", 5000, again + 1, options=options)
    t.tcp("server", True, "S", 0, 0, options=options)
    t.tcp("server", False, "SA", 0, 1, options=options)
    t.snd_una = [P_ISN_C + 1, P_ISN_V + 1]
    t.snd_una[0] += 1 << 20         # whatever it is, counted from the other ISN
    t.record(kind=1, confirm=False)
    t.tcp("client", True, "SA", 0, 1, options=options)
    t.sync(2, t.number)
    t.tcp("server", True, "A", 1, 1)
    t.tcp("client", False, "A", 1, 1)
    t.tcp("server", False, "PA", 1, 1, b"0123456789")
    t.tcp("client", True, "PA", 1, 1, b"0123456789")
    t.tcp("client", False, "A", 1, 11)
    if record:
        t.snd_una[0] = P_ISN_C + 11
        t.record()
    t.tcp("server", True, "A", 1, 11)
    assert found(t) == wrong


@pytest.mark.parametrize("protected, wrong", [(True, ["I1"]), (False, [])])
def test_the_first_full_record_lifts_the_rule_only_for_what_was_unprotected(protected, wrong):
    t = Env()
    if not protected:
        t.heartbeat(depends=False)
    t.unprotected()
    t.heartbeat()
    t.forward()
    t.snd_una[1] = P_ISN_V + 11
    t.record(kind=1, confirm=False)
    t.tcp("client", True, "A", 1, 11)
    assert found(t) == wrong


def emits_without_having_rejoined(t):
    t.take_over()
    t.speak(41)
    t.unit = 1
    t.speak(41, ["client"])


def emits_twice_for_one_rejoin(t):
    t.take_over()
    t.speak(41)
    t.rejoin()
    t.take_over()
    t.speak(41)
    t.unit = 0
    t.speak(41, ["client"])


def emits_with_the_echo_of_an_older_epoch(t):
    t.take_over()
    t.speak(41)
    t.sync(4, t.number, epoch=t.epoch - 1)
    t.unit = 1
    t.speak(41, ["client"])


def claims_the_role_without_having_rejoined(t):
    t.take_over()
    t.speak(41)
    t.take_over()


def emits_in_the_epoch_of_the_other_unit(t):
    t.take_over(quiet=True)
    t.speak(41)
    t.epoch -= 1
    t.heartbeat(depends=False, echo=False)


def emits_in_an_epoch_that_is_over(t):
    t.take_over(quiet=True)
    t.speak(41)
    t.epoch -= 2
    t.heartbeat(depends=False, echo=False)


def two_units_of_one_epoch(t):
    t.sync(3, t.number, unit=0)


def takes_over_from_itself(t):
    t.take_over()
    t.unit = 1
    t.epoch += 1
    t.speak(41)
    t.sync(3, t.number)


def raises_its_epoch(t):
    t.epoch += 1
    t.sync(3, t.number)


def two_masters_after_a_rejoin(t):
    t.take_over(quiet=True)
    t.speak(41, ["client"])
    t.unit = 1
    t.speak(41, ["server"])


@pytest.mark.parametrize("bend", [
    emits_without_having_rejoined, emits_twice_for_one_rejoin, emits_with_the_echo_of_an_older_epoch,
    claims_the_role_without_having_rejoined,
    emits_in_the_epoch_of_the_other_unit, emits_in_an_epoch_that_is_over, two_units_of_one_epoch,
    takes_over_from_itself, raises_its_epoch, two_masters_after_a_rejoin,
], ids=lambda bend: bend.__name__)
def test_a_unit_emits_in_epochs_of_its_own_only(bend):
    t = rejoined()
    bend(t)
    assert found(t) == ["I4"]


def test_frames_of_a_unit_that_does_not_know_of_the_takeover_yet_say_nothing():
    t = rejoined()
    t.take_over(quiet=True)
    t.speak(41)
    t.sync(3, t.number, 1, unit=1, epoch=t.epoch - 1)
    t.heartbeat(depends=False, echo=False)
    t.sync(3, t.number, 1, unit=1, epoch=t.epoch - 1)
    t.forward(41)
    t.tcp("client", True, "A", 1, 51)
    assert found(t) == []


def test_a_unit_that_takes_over_announces_itself_and_the_former_active_does_not():
    """I4 also holds for gratuitous ARP: the standby emits nothing with the MAC address that both units share."""
    for operation in (1, 2):
        t = Env()
        t.announce("client", operation)
        t.handshake()
        t.heartbeat()
        t.take_over(quiet=True)
        t.announce("client", operation)
        t.announce("server", operation)
        t.heartbeat(depends=False, echo=False)
        t.speak()
        assert found(t) == []
        t.announce("server", operation, unit=0)
        assert found(t) == ["I4"]
