"""The monitor on SACK blocks: they name what the peer has sent (I8)."""
import pytest

from spps_sim.checker.monitor import check
from tests.checker.env_monitor import C_ISN, P_ISN_V, Env


def sack(t, *blocks):
    t.tcp("client", False, "PA", 1, 1, b"0123456789")
    t.tcp("client", False, "PA", 21, 1, b"0123456789")
    t.tcp("server", True, "PA", 1, 1, b"0123456789")
    t.tcp("server", False, "A", 1, 11)
    t.snd_una[1] = P_ISN_V + 11
    t.record()
    t.tcp("client", True, "A", 1, 11,
          options=[("NOP", None), ("NOP", None), ("SAck", tuple(C_ISN + edge for block in blocks for edge in block))])


def sack_of_what_was_not_sent(t):
    sack(t, (21, 31), (41, 51))


def sack_beyond_what_was_sent(t):
    sack(t, (21, 32))


def sack_over_a_hole(t):
    sack(t, (15, 31))


def sack_at_the_ack(t):
    sack(t, (11, 31))


def sack_below_the_ack_in_the_second_block(t):
    sack(t, (21, 31), (1, 11))


def empty_sack(t):
    sack(t, (31, 31))


@pytest.mark.parametrize("blocks", [[(21, 31)], [(1, 11)], [(5, 7), (21, 31)], [(25, 28), (21, 31)]])
def test_sack_blocks_of_what_was_sent_are_honest(blocks):
    t = Env()
    t.handshake()
    sack(t, *blocks)
    report = check(t.frames)
    assert not report.violations and report.checks["I8"] == len(blocks)


@pytest.mark.parametrize("bend", [sack_of_what_was_not_sent, sack_beyond_what_was_sent,
                                  sack_over_a_hole, sack_at_the_ack,
                                  sack_below_the_ack_in_the_second_block, empty_sack],
                         ids=lambda bend: bend.__name__)
def test_names_the_broken_invariant(bend):
    assert "I8" in Env().broken(bend)
