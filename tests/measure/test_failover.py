"""What failover costs: a run repeats, and what it measures differs where it must."""
import pytest

from spps.params import TINY
from spps_sim.measure import failover
from spps_sim.measure.failover import measure, table


def test_a_run_repeats_and_says_what_a_standby_costs(monkeypatch):
    monkeypatch.setattr(failover, "SPAN", 20_000)
    figures, again = (measure(4, TINY) for _ in range(2))
    assert figures == again
    assert abs(figures["protected"] - 2 * failover.OFFER) < 0.25 and figures["resync_share"] > 0.9
    assert figures["ack_clocks"] > figures["ack_clocks_unprotected"] + 50, "an ACK waits for the standby"
    assert figures["resync_clocks"] > 3 * 500, "four connections, a pace of 500 clocks"
    assert 0 < figures["takeover_clocks"] < 50 and 0 < figures["first_segment_clocks"] < 5000
    assert 0.01 < figures["sync_bytes_per_byte"] < 1
    assert table([figures]).splitlines()[2].startswith("| 4 | ")


def test_connections_that_do_not_open_are_an_error(monkeypatch):
    monkeypatch.setattr(failover, "LIMIT", 1000)
    with pytest.raises(RuntimeError, match="opening: not over after 1000 cycles"):
        measure(4, TINY)
