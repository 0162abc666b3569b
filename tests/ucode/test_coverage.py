from spps.ucode.asm import assemble
from spps.ucode.coverage import Coverage
from spps.ucode.iss import CoreIss

IMAGE = assemble("ld r1, EV.seq\n beqz r1, zero\n li r2, 1\n eoe r0, r0\nzero: eoe r0, r0")


def covered(*sequence_numbers):
    coverage = Coverage(IMAGE)
    core = CoreIss(IMAGE, coverage=coverage)
    for number in sequence_numbers:
        core.run_event([0] * 5 + [number] + [0] * 10, 0)
    return coverage


def test_reports_what_one_run_missed_by_source_line():
    coverage = covered(5)
    assert coverage.missing() == [(1, "taken"), (4, "executed")]
    assert coverage.report().splitlines() == [
        "<text>:2: beqz r1, zero  [001] never taken",
        "<text>:5: zero: eoe r0, r0  [004] never executed",
        "4 of 5 instructions, 71.4 % of all points",
    ]


def test_both_ways_cover_everything():
    assert covered(5, 0).ratio() == 1.0 and covered(5, 0).missing() == []


def test_merge_adds_runs():
    coverage = covered(5)
    coverage.merge(covered(0))
    assert coverage.ratio() == 1.0
