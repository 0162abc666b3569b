"""The summary of a campaign of crossed faults, from its results."""
import json
import statistics
from collections import Counter

from spps.tools.paths import spps_command

from ..checker.states import NOTE, STATES
from .plan import failures_of, links_of

__all__ = ["states_of", "summarize"]


def states_of(row):
    """Return the data states of a row of the table `cases`."""
    return {int(state) for state in f"{row['states_up']},{row['states_down']}".split(",") if state}


def summarize(store, lines, seed, preset, tree):
    """Return the summary of the cases of `lines`, as a dict."""
    rows = store.rows(lines)
    failed = [row for row in rows if row["failed"]]
    states = Counter(state for row in rows for state in states_of(row))
    takeovers = [row["takeover_cycles"] for row in rows if row["takeover_cycles"] is not None]
    stalls = [row[f"stall_{who}"] for row in rows for who in ("client", "server") if row[f"stall_{who}"] is not None]
    notes = [json.loads(row["notes"]) for row in rows]
    crossed = {(row["link"], row["failure"], state) for row in rows for state in states_of(row)}
    runs = [run for run in store.runs() if run["ran"] and run["seconds"]]
    command = f"{spps_command()} campaign --replay "
    example = next(iter(failed or rows), None)
    summary = {
        "cases": len(rows), "passed": len(rows) - len(failed), "failed": len(failed),
        "states": {str(state): states[state] for state in STATES}, "states_note": NOTE,
        "faults": {link: sum(row["link"] == link for row in rows) for link in links_of(preset)},
        "what_fails": {name: sum(row["failure"] == name for row in rows) for name in failures_of(preset)},
        "outcomes": dict(Counter("survived" if row["outcome"] == "survived" else "ended" for row in rows)),
        "crossed": {"found": len(crossed), "of": len(links_of(preset)) * len(failures_of(preset)) * len(STATES)},
        "rejoins": sum(row["rejoins"] for row in rows), "double_failures": sum(row["double"] for row in rows),
        "stops": {name: sum(note.get(name, 0) for note in notes) for name in ("told", "not_told")},
        "seed": seed, "preset": preset, "tree": tree,
        "replay": command + (example["line"] if example else "LINE"),
        "failures": [{"case": row["line"], "why": json.loads(row["wrong"])[:5], "replay": command + row["line"]}
                     for row in failed[:200]],
    }
    if runs:
        summary["cases_per_s"] = round(sum(r["ran"] for r in runs) / sum(r["seconds"] for r in runs), 2)
    for name, values in (("takeover_cycles", takeovers), ("stall_cycles", stalls)):
        if values:
            summary[name] = {"median": statistics.median(values), "max": max(values)}
    return summary
