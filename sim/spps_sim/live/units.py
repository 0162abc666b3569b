"""Two units that are a process each, as one to `spps ctl`: a control socket per unit, answers put together."""
from pathlib import Path

from spps.tools.errors import ToolError

from ..network.bed import bed_path
from . import control

__all__ = ["ask", "is_bed", "merged_status", "unit_path"]

#: commands that both units are asked, and those that only the active one is
BOTH, ACTIVE = ("stats", "set", "get"), ("connections",)


def unit_path(base, unit):
    """Control socket of a unit, beside `base`."""
    return base.with_name(f"{base.stem}-{unit}{base.suffix}")


def is_bed(base):
    """Whether the units that belong to the control socket `base` are processes of their own."""
    return not base.exists() and (bed_path(base).exists() or any(unit_path(base, n).exists() for n in (0, 1)))


def _answers(command, base, arguments):
    """[answer, or what is wrong] of unit 0 and 1."""
    found = []
    for unit in (0, 1):
        try:
            found.append(control.request(command, unit_path(base, unit), **arguments))
        except ToolError as error:
            found.append(error)
    return found


def merged_status(answers):
    """What the status of both processes says together. answers: of unit 0 and 1, None where no process answers."""
    units, running = [], [n for n in (0, 1) if answers[n] is not None]
    for n in (0, 1):
        units.append({"unit": n, "state": "dead"} if answers[n] is None
                     else answers[n]["units"][n] | {"process": answers[n]["process"]})
    claims = [n for n in running if units[n]["state"] == "active"]
    active = max(claims, key=lambda n: units[n]["epoch"], default=None)
    status = {"bed": True, "running": running, "active": active, "units": units, "protection": "none",
              "connections": None}
    for n in running:
        units[n] |= {name: answers[n][name] for name in ("cycle", "cycles_per_s", "frames", "lost")}
    if active is not None:
        status |= {name: answers[active][name] for name in ("protection", "exposed", "connections")}
    return status


def ask(command, path=None, **arguments):
    """Send a command to a running `spps live`, or to the units of a bed; returns the answer.

    Raises ToolError when none runs, when the command failed, or when it is not for a bed.
    """
    base = Path(path or control.control_path())
    if not is_bed(base):
        return control.request(command, path, **arguments)
    if command == "status":
        return merged_status([None if isinstance(answer, ToolError) else answer
                              for answer in _answers(command, base, arguments)])
    if command not in BOTH + ACTIVE:
        raise ToolError(f"{command}: not for both units of a bed; ask one: spps ctl --socket {unit_path(base, 0)} "
                        f"{command}")
    answers = _answers(command, base, arguments)
    good = [answer for answer in answers if not isinstance(answer, ToolError)]
    if not good:
        raise answers[0]
    if command in ACTIVE:
        return good[0]
    merged = {}
    for answer in good:
        for name, value in answer.items():
            merged[name] = merged[name] + value if name == "units" and name in merged else value
    return merged
