"""The self-contained HTML page of a campaign."""
import json
from collections import Counter
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, select_autoescape

from ..checker.states import NAMES, STATES
from .plan import failures_of, links_of
from .plots import plots
from .summary import states_of
from .variants import VARIANTS

__all__ = ["write_page"]

OUTCOMES = ("survived", "ended")


def _outcome(row):
    return ("survived" if row["outcome"] == "survived" else "ended",)


def _cells(rows, failures, columns, key):
    """Return {failure: [(cases, failed) for each column]}; key(row) is an iterable of columns."""
    all_of, failed = Counter(), Counter()
    for row in rows:
        for column in key(row):
            all_of[row["failure"], column] += 1
            failed[row["failure"], column] += row["failed"]
    return {name: [(all_of[name, column], failed[name, column]) for column in columns] for name in failures}


def write_page(path, summary, rows):
    """Write the page.

    Parameters
    ----------
    path : Path
        Of the page.
    summary : dict
        See `summary.summarize`.
    rows : list of dict
        Of the table `cases`.
    """
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"),
                              autoescape=select_autoescape(["html", "j2"]))
    failures, links = failures_of(summary["preset"]), links_of(summary["preset"])
    states = [(state, NAMES[state], sum(state in states_of(row) for row in rows),
               sum(state in states_of(row) and row["failed"] for row in rows)) for state in STATES]
    path.write_text(environment.get_template("campaign.html.j2").render(
        summary=summary, plots=plots(rows), failures=failures, links=links, variants=VARIANTS, states=states,
        outcomes=OUTCOMES, by_link=_cells(rows, failures, links, lambda row: (row["link"],)),
        by_state=_cells(rows, failures, STATES, states_of),
        by_variant=_cells(rows, failures, VARIANTS, lambda row: (row["variant"],)),
        by_outcome=_cells(rows, failures, OUTCOMES, _outcome),
        failed=[row | {"why": json.loads(row["wrong"])} for row in rows if row["failed"]][:500]), encoding="utf-8")
