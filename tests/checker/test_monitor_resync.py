"""The monitor and the frames of a resynchronization: JOIN, START, records END (I5)."""
from tests.checker.env_monitor import Env, found


def resynced(full=True, confirm=True, end=True):
    """A takeover, and a standby that joins as the format says."""
    t = Env()
    t.handshake()
    t.heartbeat()
    t.forward()
    t.record()
    t.tcp("client", True, "A", 1, 11)
    t.take_over()
    t.speak(11)
    t.sync(5, 0x1234)
    t.sync(6, t.number, 1)
    t.sync(4, t.number)
    if full:
        t.record(kind=1, confirm=confirm)
    if end:
        t.number += 1
        t.sync(1, t.number, 3)
        t.sync(2, t.number if confirm else t.number - 2)
    t.heartbeat()
    return t


def test_a_resynchronization_with_every_connection_may_end():
    assert found(resynced()) == [] and found(resynced(full=False, end=False)) == []


def test_end_without_a_full_record_of_every_connection_is_found():
    assert found(resynced(full=False)) == ["I5"]


def test_a_connection_that_is_over_needs_no_record():
    t = resynced(full=False, end=False)
    t.tcp("client", False, "R", 11, 0)
    t.tcp("server", True, "R", 11, 1)
    t.number += 1
    t.sync(1, t.number, 3)
    t.sync(2, t.number)
    assert found(t) == []


def test_an_active_whose_standby_joins_again_goes_on_without_it_from_start_on():
    """START says so, before the next heartbeat does; what needs a confirmation after it is in test_monitor_alone.py."""
    t = resynced()
    t.forward(11)
    t.sync(5, 0x1234)
    t.sync(6, t.number, 2)
    t.speak(21, ("client",))
    t.sync(4, t.number)
    t.heartbeat()
    assert found(t) == []


def test_a_join_makes_the_standby_know_nothing():
    """It confirmed a full record before, so that a monitor that overlooks JOIN calls the connection protected."""
    t = resynced()
    t.sync(5, 0x1234)
    t.sync(6, t.number, 1)
    t.sync(4, t.number)
    t.number += 1
    t.sync(1, t.number, 3)
    t.sync(2, t.number)
    assert found(t) == ["I5"]
