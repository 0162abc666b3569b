"""The self-contained HTML report of a run."""
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, select_autoescape

from .sequence import LANES

__all__ = ["write_report"]

COLOURS = {"data": "#1f5fa8", "ack": "#0a7a3d", "control": "#6b4fa0", "sync": "#a8641f", "confirm": "#8a7a00",
           "death": "#b3261e", "takeover": "#0a7a3d"}
_LEFT, _STEP, _ROW = 190, 230, 26


def write_report(path, summary, rows, results, report, arrows, kill_time, entries=()):
    """Write the report to `path`.

    Parameters
    ----------
    summary : dict
        Of the run.
    rows : list
        (label, text) of the table at the top.
    results : list of dict
        Of the connections.
    report : monitor.Report
        Verdict of the monitor.
    arrows : list of Arrow
        The sequence diagram.
    kill_time : int
        ns.
    entries : list of TraceEntry
        Of the trace.
    """
    lanes = [{"name": name, "x": _LEFT + i * _STEP} for i, name in enumerate(LANES)]
    height = 60 + _ROW * len(arrows)
    for lane in lanes:
        lane["end"] = height - 10
    drawn = []
    for number, arrow in enumerate(arrows):
        y = 55 + _ROW * number
        if arrow.kind == "death" and summary.get("killed_unit") is not None:
            lanes[1 + summary["killed_unit"]]["end"] = y
        drawn.append({"y": y, "when": f"{(arrow.time - kill_time) / 1000:+.1f}", "label": arrow.label,
                      "kind": arrow.kind, "colour": COLOURS[arrow.kind],
                      "x1": None if arrow.source is None else lanes[arrow.source]["x"],
                      "x2": None if arrow.target is None else lanes[arrow.target]["x"]})
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"),
                              autoescape=select_autoescape(["html", "j2"]))
    text = environment.get_template("report.html.j2").render(
        summary=summary, rows=rows, results=results, violations=[str(v) for v in report.violations[:50]],
        checks=sorted(report.checks.items()), arrows=drawn, lanes=lanes, colours=COLOURS, entries=entries,
        width=_LEFT + _STEP * (len(LANES) - 1) + 120, height=height)
    Path(path).write_text(text)
