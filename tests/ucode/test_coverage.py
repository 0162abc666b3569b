"""Coverage of microcode: what is counted, what a report says, and when a run of the suite is failed for it."""
import pytest

from spps.ucode.asm import assemble
from spps.ucode.coverage import Coverage, read_exemptions
from spps.ucode.iss import CoreIss

SOURCE = "ld r1, EV.seq\n beqz r1, zero\n li r2, 1\n eoe r0, r0\nzero: eoe r0, r0"
IMAGE = assemble(SOURCE)
LINES = ["<text>: 0x001: beqz r1, zero: taken: zero is for others", "<text>: zero: eoe r0, r0: executed: as above"]


def run(core, *sequence_numbers):
    for number in sequence_numbers:
        core.run_event([0] * 5 + [number] + [0] * 10, 0)


def covered(*sequence_numbers):
    coverage = Coverage(IMAGE)
    run(CoreIss(IMAGE, coverage=coverage), *sequence_numbers)
    return coverage


def exemptions(folder, *lines):
    path = folder / "exempt.txt"
    path.write_text("# why not\n\n" + "\n".join(lines))
    return read_exemptions(path)


def test_reports_what_one_run_missed_by_source_line():
    coverage = covered(5)
    assert coverage.missing() == [(1, "taken"), (4, "executed")]
    assert coverage.totals() == (4, 5, 1, 2)
    totals, *missing = coverage.report()
    assert totals == "4 of 5 instructions executed, 1 of 2 branch directions gone"
    assert [line.split(": NO REASON GIVEN")[0] for line in missing] == [
        "<text>:2: beqz r1, zero: never taken", "<text>:5: zero: eoe r0, r0: never executed"]
    assert missing[1].endswith("<text>: zero: eoe r0, r0: executed: REASON")


def test_both_ways_cover_everything():
    assert covered(5, 0).totals() == (5, 5, 2, 2) and covered(5, 0).missing() == []


def test_merge_adds_runs():
    coverage = covered(5)
    coverage.merge(covered(0).seen)
    assert coverage.missing() == []


def test_all_cores_of_an_image_add_up_without_being_asked():
    image = assemble(SOURCE)
    run(CoreIss(image), 5)
    run(CoreIss(image), 0)
    assert Coverage(image, image.seen).missing() == []


def test_a_reason_explains_a_missing_point_also_when_lines_have_moved(tmp_path):
    given = exemptions(tmp_path, *LINES)
    assert covered(5).report(given)[1:] == ["<text>:2: beqz r1, zero: never taken: zero is for others",
                                            "<text>:5: zero: eoe r0, r0: never executed: as above"]
    moved = assemble("; a comment\n\n" + SOURCE)
    run(CoreIss(moved), 5)
    assert Coverage(moved, moved.seen).judge(given)[1:] == ([], [])


def test_a_reason_that_nothing_needs_is_named(tmp_path):
    given = exemptions(tmp_path, *LINES, "<text>: zero: nop: executed: gone")
    explained, unexplained, idle = covered(5, 0).judge(given)
    assert not explained and not unexplained and idle == given
    assert covered(5).judge(given)[2] == given[2:]
    assert covered(5).report(given)[-1] == "exempt.txt:5: not needed, or no such line: <text>: zero: nop: executed"


@pytest.mark.parametrize("line", ["tcp.uasm: x: nop: executed", "tcp.uasm: x: nop: seldom: because", "what is this"])
def test_a_line_that_is_no_exemption_is_an_error(tmp_path, line):
    with pytest.raises(ValueError, match="exempt.txt:3: expected `file: label: source text: executed | taken"):
        exemptions(tmp_path, line)
