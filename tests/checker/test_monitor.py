"""The monitor on captures written by hand: an honest one passes, each kind of misbehaviour is named.

Broken *designs* are in test_broken_designs.py; here the trace itself is bent, so that every rule of the monitor has
failed once. Windows that close are in test_monitor_pause.py, SACK blocks in test_monitor_sack.py.
"""
import pytest

from spps_sim.checker.monitor import check
from spps_sim.checker.wire import CapturedFrame
from tests.checker.env_monitor import P_ISN_C, P_ISN_V, Env


def honest(forge=lambda t: None):
    """forge: what a stranger sends when the client has nothing left to do, but the last record is still under way."""
    t = Env()
    t.handshake()
    t.forward()
    t.record()
    t.tcp("client", True, "A", 1, 11)
    t.tcp("client", False, "FA", 11, 1)
    t.tcp("server", True, "FA", 11, 1)
    t.tcp("server", False, "FA", 1, 12)
    t.snd_una[1] = P_ISN_V + 12
    t.record()
    t.tcp("client", True, "FA", 1, 12)
    t.tcp("client", False, "A", 12, 2)
    forge(t)
    t.snd_una[0] = P_ISN_C + 2
    t.record()
    t.tcp("server", True, "A", 12, 2)
    return t


def test_accepts_an_honest_connection_across_a_sequence_wrap():
    report = check(honest().frames)
    assert not report.violations, report.violations[0]
    for invariant in ("I0", "I1", "I2", "I3", "I4", "I6"):
        assert report.checks[invariant] > 0


def test_a_forged_syn_does_not_hide_the_last_records():
    report = check(honest(lambda t: t.tcp("client", False, "S", 1 << 29, 0)).frames)
    assert not report.violations, report.violations[0]


def test_a_record_belongs_to_its_connection_although_the_tuple_has_come_again():
    """A client resets and connects again from the same port, before the pair has recorded its last ACK."""
    for number in (11, 1):
        t = Env()
        t.handshake()
        t.snd_una[0] = P_ISN_C + 1
        t.record()
        t.tcp("server", False, "PA", 1, 1, b"0123456789")
        t.tcp("client", True, "PA", 1, 1, b"0123456789")
        t.tcp("client", False, "A", 1, 11)
        t.tcp("client", False, "R", 1, 11)
        t.tcp("client", False, "S", 1 << 28, 0, options=[("MSS", 1460)])
        t.snd_una[0] = P_ISN_C + number
        t.record()
        t.tcp("server", True, "A", 1, 11)
        assert {violation.invariant for violation in check(t.frames).violations} == ({"I1"} if number == 1 else set())


def test_data_before_any_window_was_announced_is_not_believed():
    t = Env()
    t.tcp("client", False, "S", 0, 0, options=[("MSS", 1460)])
    t.tcp("client", False, "A", 1, 0, b"9876543210")
    t.handshake()
    t.forward()
    assert not (report := check(t.frames)).violations, report.violations[0]


def test_our_syn_ack_says_which_syn_counts():
    t = Env()
    t.handshake(forge=lambda: t.tcp("client", False, "S", 1 << 28, 0, options=[("MSS", 1460)]))
    t.forward()
    t.record()
    t.tcp("client", True, "A", 1, 11)
    assert not (report := check(t.frames)).violations, report.violations[0]


def test_a_late_syn_ack_of_a_connection_that_was_reset_is_not_the_answer_to_the_next_syn():
    t, options, again = Env(), [("MSS", 1460)], 1 << 28
    t.tcp("client", False, "S", 0, 0, options=options)
    t.tcp("client", True, "SA", 0, 1, options=options)
    t.tcp("client", False, "R", 1, 0)
    t.tcp("client", False, "S", again, 0, options=options)
    t.tcp("client", True, "SA", 0, 1, options=options)
    t.tcp("client", True, "SA", 5000, again + 1, options=options)
    t.tcp("client", False, "A", again + 1, 5001)
    t.tcp("client", True, "A", 5001, again + 1)
    assert not (report := check(t.frames)).violations, report.violations[0]


def test_a_takeover_within_the_bound_is_no_violation():
    t = Env()
    t.handshake()
    t.forward()
    t.record()
    t.take_over()
    t.tcp("client", True, "A", 1, 11)
    t.tcp("server", True, "A", 11, 1)
    t.time += 10**9
    t.tcp("client", True, "A", 1, 11)
    report = check(t.frames)
    assert not report.violations, report.violations[0]
    assert report.checks["I5"] == 3, "both legs are heard of, and the client is told what the server had acknowledged"


@pytest.mark.parametrize("end", ["fin", "reset"])
def test_a_connection_that_is_over_need_not_speak_after_a_takeover(end):
    if end == "fin":
        t = honest()
    else:
        t = Env()
        t.handshake()
        t.tcp("client", False, "R", 1, 1)
        t.tcp("server", True, "R", 1, 1)
    t.take_over()
    t.time += 10**9
    t.sync(3, t.number)
    assert not (report := check(t.frames)).violations, report.violations[0]


def test_a_connection_without_a_confirmed_record_may_be_reset_at_a_takeover():
    t = Env()
    t.unprotected()
    t.take_over()
    for link in ("client", "server"):
        t.tcp(link, True, "RA", 1, 1)
    report = check(t.frames)
    assert not report.violations and report.checks["I5"] == 1, "only the server's leg is known to be proxied"


def test_after_a_takeover_nobody_confirms():
    t = Env()
    t.handshake()
    t.take_over()
    for link in ("client", "server"):
        t.tcp(link, True, "A", 1, 1)
    t.forward()
    t.record(confirm=False)
    t.tcp("client", True, "A", 1, 11)
    report = check(t.frames)
    assert not report.violations and report.checks["I1"] == 1, report.violations


def test_an_older_confirmation_leaves_the_newer_record_open():
    t = Env()
    t.handshake()
    t.forward()
    t.record(confirm=False)
    t.sync(2, t.number - 1)
    frames = list(t.frames)
    t.sync(2, t.number)
    t.tcp("client", True, "A", 1, 11)
    assert not (report := check(t.frames)).violations, report.violations[0]
    t.frames = frames
    t.tcp("client", True, "A", 1, 11)
    assert [v.invariant for v in check(t.frames).violations] == ["I1"]


def test_the_same_ports_begin_anew_after_the_end():
    t, again = honest(), 1 << 28
    t.tcp("client", False, "S", again, 0)
    t.tcp("client", True, "SA", 5000, again + 1)
    t.tcp("client", False, "A", again + 1, 5001)
    report = check(t.frames)
    assert not report.violations and report.connections == 2, report.violations


def acks_beyond_what_was_sent(t):
    t.tcp("client", True, "A", 1, 50)


def other_bytes_than_before(t):
    t.tcp("client", True, "PA", 1, 1, b"0123456789")
    t.tcp("client", True, "PA", 1, 1, b"0123456780")


@pytest.mark.parametrize("bend, invariant", [(acks_beyond_what_was_sent, "I1"), (other_bytes_than_before, "I3")])
def test_names_the_broken_invariant_of_an_endpoint(bend, invariant):
    t = Env()
    t.echo()
    assert not check(t.frames).violations
    bend(t)
    assert [v.invariant for v in check(t.frames).violations] == [invariant]


def test_the_rule_of_acks_holds_for_the_server_before_any_record():
    t = Env()
    t.unprotected()
    t.tcp("server", False, "PA", 1, 1, b"0123456789")
    t.tcp("client", True, "PA", 1, 1, b"0123456789")
    t.tcp("server", True, "A", 1, 11)
    assert [v.invariant for v in check(t.frames).violations] == ["I1"]


def test_a_malformed_sync_frame_is_a_violation():
    assert [v.invariant for v in check([CapturedFrame(1, "sync", 0, bytes(20))]).violations] == ["I0"]


@pytest.mark.parametrize("serial", (1, 2))
def test_a_serial_that_was_used_before_is_a_violation(serial):
    t = Env()
    for _ in range(2):
        t.heartbeat(echo=False)
    t.serial = serial - 1
    t.heartbeat(echo=False)
    assert [violation.invariant for violation in check(t.frames).violations] == ["I0"]


def ack_before_destination(t):
    t.tcp("client", False, "PA", 1, 1, b"0123456789")
    t.tcp("client", True, "A", 1, 11)


def ack_before_destination_with_a_record_that_lies(t):
    t.tcp("client", False, "PA", 1, 1, b"0123456789")
    t.snd_una[1] = P_ISN_V + 11
    t.record()
    t.tcp("client", True, "A", 1, 11)


def ack_before_confirm(t):
    t.forward()
    t.record(confirm=False)
    t.tcp("client", True, "A", 1, 11)


def ack_without_record(t):
    t.forward()
    t.tcp("client", True, "A", 1, 11)


def ack_goes_back(t):
    t.forward()
    t.record()
    t.tcp("client", True, "A", 1, 11)
    t.tcp("client", True, "A", 1, 5)


def ack_goes_back_and_the_edge_does_not(t):
    t.forward()
    t.record()
    t.tcp("client", True, "A", 1, 11)
    t.tcp("client", True, "A", 1, 5, window=5000)


def window_shrinks(t):
    t.tcp("client", True, "A", 1, 1, window=4096)
    t.tcp("client", True, "A", 1, 1, window=4000)


def other_bytes(t):
    t.tcp("client", False, "PA", 1, 1, b"0123456789")
    t.tcp("server", True, "PA", 1, 1, b"0123456780")


def the_peer_sends_other_bytes(t):
    t.tcp("client", False, "PA", 1, 1, b"0123456789")
    t.tcp("client", False, "PA", 1, 1, b"0123456780")


def shifted_bytes(t):
    t.tcp("client", False, "PA", 1, 1, b"0123456789")
    t.tcp("server", True, "PA", 3, 1, b"0123456789")


def other_bytes_after_forged_segments(t):
    t.tcp("client", False, "R", 1 << 30, 1)
    t.tcp("client", False, "S", 1 << 29, 0)
    t.tcp("client", False, "FA", 1 << 30, 1)
    other_bytes(t)


def second_fin(t):
    t.tcp("client", False, "FA", 1, 1)
    t.tcp("server", True, "FA", 1, 1)
    t.tcp("server", True, "FA", 2, 1)


def early_fin(t):
    t.tcp("client", False, "PA", 1, 1, b"0123456789")
    t.tcp("server", True, "FA", 1, 1)


def two_masters(t):
    t.tcp("client", True, "A", 1, 1)
    t.unit = 1
    t.tcp("client", True, "A", 1, 1)
    t.unit = 0
    t.tcp("client", True, "A", 1, 1)


def silent_takeover(t):
    t.tcp("client", True, "A", 1, 1)
    t.unit = 1
    t.tcp("server", True, "A", 1, 1)
    t.time += 10**9
    t.tcp("server", False, "A", 1, 1)


def silent_takeover_with_heartbeats(t):
    t.tcp("client", True, "A", 1, 1)
    t.unit, t.epoch = 1, 2
    t.sync(3, t.number)
    t.time += 10**9
    t.tcp("client", True, "A", 1, 1)
    t.tcp("server", True, "A", 1, 1)


def reset_by_takeover(t):
    t.forward()
    t.record()
    t.unit = 1
    t.tcp("client", True, "RA", 1, 11)


def stuck_takeover(t):
    t.forward()
    t.unit = 1
    t.tcp("client", True, "A", 1, 1)
    t.tcp("server", True, "A", 1, 1)
    t.time += 10**9
    t.tcp("client", True, "A", 1, 1)


def new_isn(t):
    t.tcp("client", True, "SA", 77, 1, options=[("MSS", 1460)])


def new_options(t):
    t.tcp("client", True, "SA", 0, 1, options=[("MSS", 1400)])


def timestamp_that_was_not_negotiated(t):
    t.tcp("client", True, "A", 1, 1, options=[("Timestamp", (100, 0))])


def bad_checksum(t):
    t.tcp("client", False, "PA", 1, 1, b"0123456789")
    t.tcp("server", True, "PA", 1, 1, b"0123456789", corrupt=True)


@pytest.mark.parametrize("proxied, window, wrong",
                         [(False, 99, []), (False, 98, ["I2"]), (True, 99, ["I2"]), (True, 100, [])])
def test_the_edge_of_an_endpoint_may_go_back_by_less_than_a_unit_of_its_scale(proxied, window, wrong):
    t, scaled = Env(), [("MSS", 1460), ("WScale", 2)]
    if proxied:
        t.handshake(stamp=scaled[1:])
        t.forward()
        t.record()
        end = 11
    else:
        t.tcp("client", False, "S", 0, 0, options=scaled)
        t.tcp("client", True, "SA", 0, 1, options=scaled)
        t.tcp("client", False, "A", 1, 1)
        t.tcp("client", False, "PA", 1, 1, b"0123456789")
        end = 2
    t.tcp("client", True, "A", 1, 1, window=100 + (end - 1) // 4)
    t.tcp("client", True, "A", 1, end, window=window)
    assert [violation.invariant for violation in check(t.frames).violations] == wrong


@pytest.mark.parametrize("bend, invariant", [
    (ack_before_destination, "I1"), (ack_before_destination_with_a_record_that_lies, "I1"), (ack_before_confirm, "I1"),
    (ack_without_record, "I1"), (ack_goes_back, "I2"), (ack_goes_back_and_the_edge_does_not, "I2"),
    (window_shrinks, "I2"), (the_peer_sends_other_bytes, "I3"), (other_bytes, "I3"),
    (other_bytes_after_forged_segments, "I3"), (shifted_bytes, "I3"), (second_fin, "I3"),
    (two_masters, "I4"), (silent_takeover, "I5"), (silent_takeover_with_heartbeats, "I5"), (reset_by_takeover, "I5"),
    (stuck_takeover, "I5"), (early_fin, "I6"), (new_isn, "I7"), (new_options, "I7"),
    (timestamp_that_was_not_negotiated, "I7"), (bad_checksum, "I0"),
], ids=lambda v: getattr(v, "__name__", v))
def test_names_the_broken_invariant(bend, invariant):
    assert invariant in Env().broken(bend)


@pytest.mark.parametrize("values, wrong",
                         [((100, 100, 101), 0), ((100, 99), 1), ((100, 2**31 + 101), 1), ((2**32 - 1, 0), 0),
                          ((100, None), 1)])
def test_timestamps_never_go_back_and_are_never_missing(values, wrong):
    t = Env()
    t.handshake([("Timestamp", (values[0], 0))])
    for value in values:
        t.tcp("client", True, "A", 1, 1, options=[] if value is None else [("Timestamp", (value, 0))])
    assert [v.invariant for v in check(t.frames).violations] == ["I7"] * wrong
