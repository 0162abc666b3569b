"""The page of a campaign in a browser: its numbers are those of the database, and its console is empty."""
import json
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from html.parser import HTMLParser

import pytest

from spps_sim.campaign.failures import FAILURES
from spps_sim.campaign.page import write_page
from spps_sim.campaign.plan import SWEPT, Phases, plan, settings
from spps_sim.campaign.store import Store
from spps_sim.campaign.summary import summarize
from spps_sim.campaign.variants import LINKS, VARIANTS
from spps_sim.checker.states import STATES

CASES = 400
PHASES = Phases(5000, 15_000, 27_000, {f"{d}/{s}": [(5000 + 900 * s, 5900 + 900 * s)] for d in (0, 1) for s in STATES})


def result(case, number):
    """What run_case might say; every 20th case has failed."""
    ended = number % 5 == 0
    return {"line": case.line, "failures": ["byte 7 & <b>others</b> differ"] if number % 20 == 0 else [],
            "demand": "may end" if ended else "survive", "outcome": "client: reset" if ended else "survived",
            "protected": 1, "takeover_cycles": 1100 + number if case.failure in SWEPT else None,
            "stalls": {} if ended else {"client": 3000 + 7 * number, "server": 2000}, "cycles": 20_000,
            "notes": {"rejoins": number % 2, "double": number % 3 == 0, "told": 1, "not_told": number % 3}}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """(path of the page, its rows in SQLite) of results that are made up."""
    folder = tmp_path_factory.mktemp("page")
    chosen = settings(CASES, 1)
    phases = dict.fromkeys(chosen, PHASES)
    cases = plan(phases, CASES, 1)
    store = Store(folder / "all.sqlite", "abc", "def", "tiny")
    run = store.begin(1, CASES)
    store.add(run, [(case, result(case, number)) for number, case in enumerate(cases)], phases)
    store.end(run, 100.0, CASES)
    lines = {case.line for case in cases}
    write_page(folder / "index.html", summarize(store, lines, 1, "tiny", "abc"), store.rows(lines))
    store.close()
    with sqlite3.connect(folder / "all.sqlite") as db:
        db.row_factory = sqlite3.Row
        return folder / "index.html", [dict(row) for row in db.execute("SELECT * FROM cases")]


class Tables(HTMLParser):
    """{id of a table: rows of the texts of its cells}, and the texts of figures."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.figures, self._rows, self._figure, self._cell = {}, {}, None, None, False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        said = dict(attrs)
        if tag == "table":
            self._rows = self.tables.setdefault(said.get("id", ""), [])
        elif tag == "tr" and self._rows is not None:
            self._rows.append([])
        elif tag in ("td", "th") and self._rows:
            self._rows[-1].append("")
            self._cell, self._figure = True, said.get("data-figure")

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._cell, self._figure = False, None

    def handle_data(self, data):
        if self._cell and self._rows:
            self._rows[-1][-1] += data
        if self._figure:
            self.figures[self._figure] = self.figures.get(self._figure, "") + data


def states_of(row):
    return {int(state) for state in f"{row['states_up']},{row['states_down']}".split(",") if state}


def check_numbers(text, rows):
    """Compare what the page shows with the database."""
    shown = Tables(text)
    failed = [row for row in rows if row["failed"]]
    assert shown.figures["cases"] == str(len(rows)) and shown.figures["failed"] == str(len(failed))
    assert shown.figures["passed"] == str(len(rows) - len(failed))
    assert shown.figures["rejoins"] == str(sum(row["rejoins"] for row in rows))
    assert shown.figures["double failures"] == str(sum(row["double"] for row in rows))
    notes = [json.loads(row["notes"]) for row in rows]
    assert shown.figures["units that stopped: IP switch told / not told"] == (
        f"{len(rows)} / {sum(note['not_told'] for note in notes)}")
    assert shown.figures["takeover, median / longest, cycles"].endswith(
        f" / {max(row['takeover_cycles'] or 0 for row in rows)}")
    by_state = Counter(state for row in rows for state in states_of(row))
    assert [(int(cells[0]), int(cells[2])) for cells in shown.tables["states"][1:]] == [
        (state, by_state[state]) for state in STATES]
    for table, columns, key in (("by_link", LINKS, lambda row: [row["link"]]),
                                ("by_state", STATES, states_of),
                                ("by_variant", VARIANTS, lambda row: [row["variant"]])):
        count = Counter((row["failure"], column) for row in rows for column in key(row))
        head, *body = shown.tables[table]
        assert head[1:-1] == [str(column) for column in columns] and [cells[0] for cells in body] == list(FAILURES)
        for cells in body:
            assert [int(cell.split()[0]) for cell in cells[1:-1]] == [count[cells[0], column] for column in columns]
            assert int(cells[-1]) == sum(row["failure"] == cells[0] for row in rows)
    shown_failed = shown.tables["failed"][1:]
    assert [cells[0] for cells in shown_failed] == sorted(row["line"] for row in failed)
    assert all(f"--replay {cells[0]} " in cells[2] and "<b>others</b>" in cells[1] for cells in shown_failed)
    assert sum(int(cells[1].split()[0]) for cells in shown.tables["by_outcome"][1:]) == sum(
        row["outcome"] == "survived" for row in rows)


def test_the_numbers_of_the_page_are_those_of_the_database(page):
    path, rows = page
    check_numbers(path.read_text(), rows)


def test_a_page_with_another_number_is_found(page):
    path, rows = page
    with pytest.raises(AssertionError):
        check_numbers(path.read_text(), rows[1:])


def test_the_page_needs_nothing_else(page):
    text = page[0].read_text()
    assert not re.findall(r"(?:src|href)\s*=\s*[\"'](?!#)", text) and "@import" not in text and "<script" not in text
    assert text.count("<svg") == 1 and "<!DOCTYPE svg" not in text


def browse(path, folder):
    """(document after loading, messages of the console) of a page in headless Chromium."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr",
         f"--user-data-dir={folder}", "--virtual-time-budget=2000", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=60)
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.fixture(scope="module")
def chromium(lacking):
    """Skips where there is no browser."""
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        lacking("no Chromium: sh sim/setup.sh browser")


def test_a_browser_shows_the_numbers_and_complains_about_nothing(page, chromium, tmp_path):
    path, rows = page
    document, console = browse(path, tmp_path)
    check_numbers(document, rows)
    assert console == []
    broken = tmp_path / "broken.html"
    broken.write_text(path.read_text().replace("<h2>", "<script>nothing.at.all</script><h2>", 1))
    assert any("ReferenceError" in line for line in browse(broken, tmp_path)[1]), "errors would be seen"
