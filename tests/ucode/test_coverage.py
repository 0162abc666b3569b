"""Coverage of microcode: what is counted, what a report says, and when a run of the suite is failed for it."""
from types import SimpleNamespace

import pytest

from spps.ucode import programs
from spps.ucode.asm import assemble
from spps.ucode.coverage import Coverage, read_exemptions
from spps.ucode.iss import CoreIss
from spps_sim.testbench.pytest_coverage import CoveragePlugin

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


class Worker:
    """What a test process is to the plugin: which files it collected, how it was called, whether tests failed."""

    def __init__(self, monkeypatch, tmp_path, reasons=(), files=("test_a.py", "test_b.py"), arguments=("tests",),
                 deselected=(), failed=0):
        for name in ("test_a.py", "test_b.py"):
            (tmp_path / name).touch()
        (tmp_path / "reasons.txt").write_text("\n".join(reasons))
        self.image = assemble(SOURCE)
        monkeypatch.setattr(programs, "default_image", lambda: self.image)
        monkeypatch.setattr(programs, "COVERAGE_EXEMPTIONS", tmp_path / "reasons.txt")
        self.args, self.testsfailed, self.exitstatus = list(arguments), failed, 0
        self.option = SimpleNamespace(collectonly=False)
        self.items = [SimpleNamespace(path=tmp_path / name) for name in files]
        self.plugin = CoveragePlugin(self, tmp_path)
        if deselected:
            self.plugin.pytest_deselected([SimpleNamespace(path=tmp_path / name) for name in deselected])

    def end(self, *numbers):
        run(CoreIss(self.image), *numbers)
        self.plugin.pytest_collection_finish(self)
        self.plugin.pytest_sessionfinish(self)
        return self.plugin.verdict, int(self.exitstatus)


@pytest.mark.parametrize("numbers, reasons, verdict, status", [
    ((5, 0), (), "passed", 0), ((5,), (), "FAILED", 1), ((5,), LINES, "passed", 0), ((5, 0), LINES[:1], "FAILED", 1)])
def test_a_whole_run_fails_for_a_missing_line_and_for_an_idle_reason(monkeypatch, tmp_path, numbers, reasons, verdict,
                                                                     status):
    said, code = Worker(monkeypatch, tmp_path, reasons).end(*numbers)
    assert said.startswith(verdict) and code == status


@pytest.mark.parametrize("part", [{"files": ("test_a.py",)}, {"arguments": ("tests/ucode/test_a.py::test_x", "tests")},
                                  {"deselected": ("test_b.py",)}, {"failed": 1}])
def test_a_part_of_the_tests_and_a_failed_run_are_not_judged(monkeypatch, tmp_path, part):
    said, code = Worker(monkeypatch, tmp_path, **part).end(5)
    assert said.startswith("not judged") and code == 0


def test_what_workers_saw_adds_up(monkeypatch, tmp_path):
    reporter = Worker(monkeypatch, tmp_path)
    for number in (5, 0):
        worker = Worker(monkeypatch, tmp_path)
        worker.workeroutput = {}
        assert worker.end(number) == (None, 0)
        reporter.plugin.pytest_testnodedown(worker, None)
    reporter.plugin.pytest_sessionfinish(reporter)
    assert reporter.plugin.verdict.startswith("passed")


def test_a_run_without_microcode_tests_says_nothing(monkeypatch, tmp_path):
    assert Worker(monkeypatch, tmp_path, files=()).end(5) == (None, 0)
