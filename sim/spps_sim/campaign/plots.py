"""Plots of a campaign as one SVG, drawn by matplotlib."""
import io
import re

from ..checker.states import STATES

__all__ = ["plots"]

PASSED, FAILED, SECOND = "#1f5fa8", "#b3261e", "#d08a2e"


def _histogram(axes, values, colours, labels, title, log=False):
    import numpy
    both = [value for one in values for value in one]
    if both:
        low, high = min(both), max(both)
        bins = numpy.geomspace(max(low, 1), max(high, 2) + 1, 40) if log else numpy.linspace(low - 1, high + 1, 40)
        axes.hist(values, bins=bins, color=colours, label=labels, stacked=False)
        if log:
            axes.set_xscale("log")
        if len(values) > 1:
            axes.legend()
    axes.set_title(title)
    axes.set_xlabel("cycles")
    axes.set_ylabel("cases")


def plots(rows):
    """Return an SVG element as text: takeover times, stalls, cases for each data state.

    Parameters
    ----------
    rows : list of dict
        Of the table `cases`.
    """
    import matplotlib
    from matplotlib.figure import Figure
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "campaign", "font.size": 9}):
        figure = Figure(figsize=(12, 3.6), layout="constrained")
        takeover, stall, states = figure.subplots(1, 3)
        _histogram(takeover, [[row["takeover_cycles"] for row in rows if row["takeover_cycles"] is not None]],
                   [PASSED], ["takeover"], "From the stop of the active to the takeover")
        _histogram(stall, [[row[f"stall_{who}"] for row in rows if row[f"stall_{who}"] is not None]
                           for who in ("client", "server")], [PASSED, SECOND], ["client", "server"],
                   "Longest stall seen by a peer", log=True)
        counts = {failed: [sum(str(state) in f"{row['states_up']},{row['states_down']}".split(",")
                               for row in rows if row["failed"] == failed) for state in STATES] for failed in (0, 1)}
        states.bar(list(STATES), counts[0], color=PASSED, label="passed")
        states.bar(list(STATES), counts[1], bottom=counts[0], color=FAILED, label="failed")
        states.set_title("Cases for each data state")
        states.set_xlabel("state (§X.B)")
        states.set_xticks(list(STATES))
        states.legend()
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", text.getvalue(), flags=re.S)
