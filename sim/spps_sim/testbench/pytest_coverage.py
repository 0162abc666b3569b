"""pytest plugin: coverage of the default program by all tests of a run, over all its processes.

A run of all of tests/ucode fails when a line is missed without a reason in programs/coverage_exemptions.txt, or when a
reason there is not needed. A run of some of these tests only prints the figures.
"""
from pathlib import Path

import pytest

__all__ = ["CoveragePlugin"]

KEY = "microcode_coverage"


class CoveragePlugin:
    """The plugin of one process.

    Parameters
    ----------
    config : pytest.Config
        Of the session.
    folder : Path
        Directory of the tests that must cover the program together.
    """

    def __init__(self, config, folder):
        self.config, self.folder = config, Path(folder)
        self.seen, self.whole, self.verdict = [], True, None
        self._deselected = False

    # in every process ------------------------------------------------------------------------
    def pytest_deselected(self, items):
        """Note that tests of the directory do not run."""
        self._deselected |= any(self.folder in item.path.parents for item in items)

    def pytest_collection_finish(self, session):
        """Note which files of the directory run."""
        collected = {item.path for item in session.items}
        self._parts = any("::" in argument for argument in self.config.args)
        self._any = any(self.folder in path.parents for path in collected)
        self._all = collected >= set(self.folder.glob("test_*.py"))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session):
        """Hand the lines over to the process that reports, or judge them there."""
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput[KEY] = self._own()
        elif hasattr(self, "_any"):             # with workers, this process collects nothing
            self._take(self._own())
        if self.seen and not hasattr(self.config, "workeroutput"):
            self._judge(session)

    def _own(self):
        if not self._any:
            return None
        from spps.ucode.programs import default_image
        return {"seen": bytes(default_image().seen).hex(),
                "whole": self._all and not self._deselected and not self._parts}

    # in the process that reports -------------------------------------------------------------
    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node, error):
        """Take the lines of a worker."""
        self._take(getattr(node, "workeroutput", {}).get(KEY))

    def _take(self, own):
        if own is not None:
            self.seen.append(bytes.fromhex(own["seen"]))
            self.whole &= own["whole"]

    def _judge(self, session):
        from spps.ucode.coverage import Coverage, read_exemptions
        from spps.ucode.programs import COVERAGE_EXEMPTIONS, default_image
        coverage = Coverage(default_image())
        for seen in self.seen:
            coverage.merge(seen)
        exemptions = read_exemptions(COVERAGE_EXEMPTIONS)
        _, unexplained, idle = coverage.judge(exemptions)
        self.report = coverage.report(exemptions)
        if self.config.option.collectonly:
            self.report, self.verdict = self.report[:1], "not judged: nothing ran"
        elif session.testsfailed:
            self.verdict = "not judged: tests failed"
        elif not self.whole:
            self.verdict = f"not judged: not all of {self.folder.name} ran"
        elif unexplained or idle:
            self.verdict = "FAILED: lines missed without a reason, or reasons not needed"
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        else:
            self.verdict = "passed: every missing line has its reason"

    def pytest_terminal_summary(self, terminalreporter):
        """Print the figures and the verdict."""
        if self.verdict is None:
            return
        terminalreporter.section("microcode coverage")
        lines = self.report if self.whole else self.report[:1]
        for line in lines:
            terminalreporter.write_line(line)
        terminalreporter.write_line(self.verdict, red="FAILED" in self.verdict)
