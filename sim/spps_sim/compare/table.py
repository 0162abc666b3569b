"""The table of a comparison: HAProxy and keepalived beside the last demo of a pair of SPPS."""
import json
from pathlib import Path

from rich.table import Table

from spps.tools.errors import ToolError
from spps.tools.paths import spps_command

from ..checker.capture import NS_PER_CYCLE

__all__ = ["print_table", "read_demo", "rows"]

NONE = "-"
FIGURES = (
    "connections, bytes each way each", "connections lost", "ends",
    "bytes acknowledged to the sender but never delivered, up / down", "bytes doubled or wrong, up / down",
    "from the kill to the first frame of the new active, on a live connection",
    "from the kill to the first new connection that is served",
)


def read_demo(path):
    """The summary of a demo, or None where there is none. Raises ToolError when the file is something else."""
    path = Path(path)
    if not path.exists():
        return None
    try:
        summary = json.loads(path.read_text())
        rows({}, summary)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise ToolError(f"{path}: expected the summary.json of `spps demo`") from error
    return summary


def _of_proxies(s):
    if not s:
        return [NONE] * len(FIGURES)
    ends = s["ends"]

    def fates(role):
        return ", ".join(f"{count} {fate}" for fate, count in ends[role].items() if count)

    undelivered, wrong = s["bytes_acked_undelivered"], s["bytes_wrong"]
    served = s["served_again_s"]
    return [f"{s['connections']}, {s['bytes_each_way']}; {s['slow']}s at {s['rate']} bytes/s",
            f"{s['connections_lost']} of {s['connections']}",
            f"client: {fates('client')}; server: {fates('server')}",
            f"{undelivered['up']} / {undelivered['down']}", f"{wrong['up']} / {wrong['down']}",
            NONE, f"not within {s['limit_s']:g} s" if served is None else f"{served:.2f} s"]


def _of_demo(s):
    if s is None:
        return [NONE] * len(FIGURES)
    count, each = s["connections"], {s["bytes_up"] // s["connections"], s["bytes_down"] // s["connections"]}
    passed = s["verdict"] == "pass"
    # a demo passes only when every byte of every connection has arrived once, which hashes at both ends show
    lost, ends, undelivered, wrong = ((f"0 of {count}", f"client: {count} complete; server: {count} complete", "0 / 0",
                                       "0 / 0") if passed else ("the demo failed", NONE, NONE, NONE))
    first, stall = s.get("first_frame_cycles"), s.get("longest_stall_ms")
    return [f"{count}, {'/'.join(map(str, sorted(each)))}; as fast as the simulation", lost, ends, undelivered, wrong,
            NONE if first is None else f"{first * NS_PER_CYCLE / 1000:.1f} µs ({first} cycles at "
            f"{1000 / NS_PER_CYCLE:g} MHz); longest stall {stall} ms in simulation",
            "not measured"]


def rows(summary, demo):
    """[(figure, HAProxy and keepalived, SPPS)] of two summaries; an empty one or None gives dashes."""
    return list(zip(FIGURES, _of_proxies(summary), _of_demo(demo), strict=True))


def print_table(console, summary, demo, path):
    """Print the table, and what to run when there was no demo at `path`."""
    names = ["HAProxy and keepalived", "SPPS" + (f" (demo, seed {demo['seed']})" if demo else " (no demo)")]
    table = Table("", *names)
    for row in rows(summary, demo):
        table.add_row(*row)
    console.print(table)
    if demo is None:
        console.print(f"for the figures of a pair of SPPS: {spps_command()} demo, which leaves them in {path}; then "
                      "this command again", soft_wrap=True)
