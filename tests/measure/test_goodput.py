"""Goodput of a pair: what is limited is named by the share, and a run repeats."""
import pytest

from spps_sim.measure import goodput
from spps_sim.measure.goodput import Case, cases, measure, table


class Short(Case):
    def size(self):
        return 40_000


def test_a_case_repeats_and_counts_what_the_cores_did():
    once, again = (measure(Short("tiny", 2)) for _ in range(2))
    assert once == again
    assert 0.2 < once["share_of_limit"] <= 1 and once["bytes_per_clock"] <= Short("tiny").limit()
    assert 0 < once["cores_busy"] + once["cores_stalled"] <= 1 and once["core_clocks_per_event"] > 90
    assert once["memory"] == "onchip" and once["retransmitted"] == 0


@pytest.mark.parametrize("limited", [{"offer": 0.2}, {"drain": 0.2, "window": 2048}])
def test_a_slow_end_sets_the_rate(limited):
    case = Short("tiny", 2, **limited)
    assert case.limit() < Short("tiny").limit() / 4
    assert 0.8 < measure(case)["share_of_limit"] < 1.1


def test_without_a_standby_connections_go_on():
    assert measure(Short("tiny", 2, protected=False))["share_of_limit"] > 0.2


def test_a_transfer_that_stands_still_is_an_error(monkeypatch):
    monkeypatch.setattr(goodput, "LIMIT", 2000)
    with pytest.raises(RuntimeError, match="of 80000 bytes after 2000 cycles"):
        measure(Short("tiny", 2))


def test_the_cases_of_a_preset_cover_connections_ways_protection_and_windows():
    for preset in ("tiny", "gbe", "oc192"):
        found = list(cases(preset))
        assert len(set(map(repr, found))) == len(found)
        assert {(c.ways, c.protected) for c in found} == {(1, True), (2, True), (1, False)}
        assert max(c.connections for c in found) <= found[0].params().connections
    assert {c.window for c in cases("tiny")} == {8192, 32768, 65535}


def test_the_limit_is_that_of_the_datapath_unless_an_application_is_slower():
    case = Case("tiny", 4, 2, mss=946)
    assert case.limit() == case.datapath() == case.params().data_bytes * 0.946
    assert Case("tiny", 4, 2, mss=946, offer=0.5, drain=0.25).limit() == case.datapath() / 4


@pytest.mark.parametrize("window", [0, 65536])
def test_a_window_that_needs_a_window_scale_is_refused(window):
    with pytest.raises(ValueError, match=f"window {window}: must be 1..65535 bytes"):
        Case("tiny", window=window)


def test_the_table_has_a_row_per_case():
    figures = {"preset": "tiny", "connections": 4, "ways": 2, "mss": 536, "window": 8192, "protected": False,
               "offer": None, "drain": 0.5, "sizes": {}, "bytes_per_clock": 1.234, "share_of_limit": 0.5,
               "core_clocks_per_event": 99.6, "retransmitted": 3}
    assert table([figures]).splitlines()[2] == (
        "| tiny | 4 | 2 | 536 | 8192 | the standby is dead, slow destinations | 1.23 | 50% | 100 | 3 |")
