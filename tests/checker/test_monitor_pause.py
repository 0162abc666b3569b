"""The monitor on windows that close: a source is told 0 only while its destination takes nothing (I2)."""
import pytest

from spps_sim.checker.monitor import check
from tests.checker.env_monitor import P_ISN_V, Env


def held(t, window=0, again=True):
    """The client's bytes wait at the pair; the server's window, and whether the client has sent them again."""
    t.tcp("client", True, "A", 1, 1)
    t.tcp("server", False, "A", 1, 1, window=window)
    for _ in range(1 + again):
        t.tcp("client", False, "PA", 1, 1, b"0123456789")


def pause_of_what_came_once(t):
    held(t, again=False)
    t.tcp("client", True, "A", 1, 1, window=0)


def pause_before_an_open_destination(t):
    held(t, window=1)
    t.tcp("client", True, "A", 1, 1, window=0)


def pause_of_what_is_acknowledged(t):
    t.forward()
    t.record()
    t.tcp("client", True, "A", 1, 11)
    t.tcp("server", False, "A", 1, 11, window=0)
    t.tcp("client", False, "PA", 1, 1, b"0123456789")
    t.tcp("client", True, "A", 1, 11, window=0)


def pause_that_leaves_a_window(t):
    held(t)
    t.tcp("client", True, "A", 1, 1, window=100)


def pause_of_the_destination(t):
    held(t)
    t.tcp("server", True, "A", 1, 1, window=0)


def pause_after_the_destination_was_served(t):
    held(t, again=False)
    t.tcp("server", False, "A", 1, 1)
    t.tcp("server", True, "PA", 1, 1, b"0123456789")
    t.tcp("client", False, "PA", 1, 1, b"0123456789")
    t.tcp("client", True, "A", 1, 1, window=0)


def pause_after_the_destination_took_a_probe(t):
    held(t, again=False)
    t.tcp("server", True, "PA", 1, 1, b"0")
    t.tcp("server", False, "A", 1, 2)
    t.tcp("client", False, "PA", 1, 1, b"0123456789")
    t.tcp("client", True, "A", 1, 1, window=0)


def pause_that_outlives_the_commit(t):
    held(t)
    t.tcp("client", True, "A", 1, 1, window=0)
    t.forward()
    t.record()
    t.tcp("client", True, "A", 1, 11)
    t.tcp("client", True, "A", 1, 11, window=0)


@pytest.mark.parametrize("takeover", [False, True])
def test_a_source_may_be_told_a_closed_window_until_something_is_committed(takeover):
    t = Env()
    t.handshake()
    held(t)
    for _ in range(3):
        t.tcp("client", True, "A", 1, 1, window=0)
        t.tcp("client", False, "PA", 1, 1, b"0")
    if takeover:
        t.take_over()
        t.tcp("client", True, "A", 1, 1)
        t.tcp("client", True, "A", 1, 1, window=0)
        t.tcp("server", True, "A", 1, 1)
    t.tcp("server", False, "A", 1, 1)               # it takes something again
    t.tcp("client", True, "A", 1, 1, window=0)
    t.tcp("server", True, "PA", 1, 1, b"0123456789")
    t.tcp("client", True, "A", 1, 1, window=0)
    t.tcp("server", False, "A", 1, 11)
    t.snd_una[1] = P_ISN_V + 11
    t.record(confirm=not takeover)
    t.tcp("client", True, "A", 1, 11)
    report = check(t.frames)
    assert not report.violations and report.checks["I2"] > 6, report.violations


@pytest.mark.parametrize("bend", [pause_of_what_came_once, pause_before_an_open_destination,
                                  pause_of_what_is_acknowledged, pause_that_leaves_a_window,
                                  pause_of_the_destination, pause_after_the_destination_was_served,
                                  pause_after_the_destination_took_a_probe, pause_that_outlives_the_commit],
                         ids=lambda bend: bend.__name__)
def test_names_the_broken_invariant(bend):
    assert "I2" in Env().broken(bend)
