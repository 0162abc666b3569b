"""What a running pair is doing, as a dict and in words."""
from spps.failover.signature import JoinVerdict

from .switch import GIVEN_UP, SWITCHING

__all__ = ["STATES", "read_units", "read_status", "status_text"]

STATES = ("killed", "frozen", "dead", "elsewhere", "fenced", "active", "standby")
#: those of a unit of which nothing else is known, and what they mean
_SILENT = {"killed": "", "frozen": "", "dead": ": no process answers", "elsewhere": ", in another process"}
#: registers of each running unit that the state is made of
WATCHED = ("active", "epoch", "fenced", "lease_valid", "peer_present", "protect", "unprotected", "fenced_cores",
           "in_use", "half_open", "joined", "resync", "exposed", "join_verdict", "cfg_mode", "sync_key", "switch_state",
           "switch_verdict")
PROXY = 1       # bit of cfg_mode
#: what `join_verdict` of the active says of a standby that it refuses
_REFUSED = {JoinVerdict.SIZE: "it holds another number of connections",
            JoinVerdict.CONFIG: "its configuration is another one"}

#: counters of SYNs for which there was no place
_REFUSALS = "lookup_table_full", "lookup_half_open_refused"
#: counters of sync frames that were not taken, without their prefix
_SYNC_REFUSALS = "bad_frame", "bad_version", "foreign_frame", "bad_key", "bad_tag", "replayed", "unheard"


def _protection(unit):
    """What an active unit's registers say of the protection of connections.

    "unshared": the unit is an endpoint, of whose connections a standby gets no record.
    "protected": the standby has a record of every one. "resync": it takes records, and has not got all yet.
    "unprotected", "stalled": it takes none, and the unit emits all the same, or does not.
    """
    if not unit["cfg_mode"] & PROXY:
        return "unshared"
    if unit["unprotected"]:
        return "unprotected"
    if not (unit["protect"] and unit["peer_present"]):
        return "stalled"
    return "resync" if unit["resync"] or unit["exposed"] else "protected"


def read_units(testbed):
    """[{"unit", "state", registers...}] of both units; those of a running one have "protection" when it is active."""
    running, active, units = testbed.running(), testbed.active(), []
    for n in (0, 1):
        unit: dict[str, int | str] = {"unit": n}
        if n not in running:
            unit["state"] = ("elsewhere" if getattr(testbed, "number", n) != n
                             else "killed" if testbed.killed >> n & 1 else "frozen")
        else:
            unit |= {name: testbed.sim.read(n, name) for name in WATCHED}
            unit["state"] = "active" if n == active else "fenced" if unit["fenced"] else "standby"
            if n == active:
                unit["protection"] = _protection(unit)
        units.append(unit)
    return units


def read_status(testbed):
    """What `spps ctl status` shows, as a dict for JSON."""
    units = read_units(testbed)
    active = testbed.active()
    status = {
        "running": testbed.running(), "active": active, "units": units, "protection": "none", "connections": None,
        "cycle": testbed.sim.cycle, "cycles_per_s": round(testbed.rate()), "frames": testbed.frames,
        "lost": testbed.lost,
    }
    if describe := getattr(testbed, "describe", None):      # a unit that is a process of its own
        status["process"] = describe()
    for n in status["running"]:
        counts = {name: testbed.sim.read(n, f"failover_{name}") for name in _SYNC_REFUSALS}
        units[n]["sync_refused"] = {name: count for name, count in counts.items() if count}
    if active is not None:
        unit = units[active]
        limit = testbed.params.connections
        status["protection"] = unit["protection"]
        status["exposed"] = unit["exposed"]
        status["connections"] = {"in_use": unit["in_use"], "limit": limit, "half_open": unit["half_open"],
                                 "full": unit["in_use"] >= limit,
                                 "refused": sum(testbed.sim.read(active, name) for name in _REFUSALS)}
    return status


def _unit_text(unit):
    text = f"unit {unit['unit']}: {unit['state']}"
    if unit["state"] in _SILENT:
        return text + _SILENT[unit["state"]]
    if unit["state"] == "fenced":
        text += ": the other unit has taken over from it; it emits nothing until `spps ctl rejoin`"
    else:
        text += f", epoch {unit['epoch']}"
        if unit["state"] == "standby":
            text += ", takes records" if unit["joined"] else ", has not joined: it takes no records"
        elif unit["join_verdict"] in _REFUSED and not unit["joined"]:
            text += f", refuses its standby: {_REFUSED[unit['join_verdict']]}"
        if unit["switch_state"] in SWITCHING:
            text += f", {SWITCHING[unit['switch_state']]}"
        elif unit["switch_verdict"] in GIVEN_UP:
            text += f", last switch-over {GIVEN_UP[unit['switch_verdict']]}"
    cores = [str(core) for core in range(32) if unit["fenced_cores"] >> core & 1]
    return text + (f"; fenced cores: {', '.join(cores)}" if cores else "")


def protection_text(protection, other, exposed=0):
    """What `protection` of the active unit means; other: number of the other unit; exposed: connections at risk."""
    return {
        "unshared": "not protected: those of an endpoint (cfg_mode 0) are not shared with the standby",
        "resync": f"being protected: unit {other} has joined and still lacks the records of {exposed}",
        "protected": f"protected: unit {other} confirms every record",
        "stalled": f"stalled: unit {other} does not answer, nothing is emitted until it does, or until the register "
                   "policy lets the active go on without it",
        "unprotected": f"unprotected: unit {other} confirms nothing, and connections end if the active unit stops",
    }[protection]


def stopped_text(dead):
    """What it means that no unit runs; dead: both are killed, none frozen."""
    return "no unit runs: " + ("connections are lost" if dead else "`spps ctl thaw` lets a frozen unit run again")


def status_text(status):
    """The lines of `spps ctl status`."""
    lines = [_unit_text(unit) for unit in status["units"]]
    keyless = [str(unit["unit"]) for unit in status["units"] if unit.get("sync_key") == 0]
    if keyless:
        lines.append(f"sync frames are not authenticated: no key in unit {' and '.join(keyless)} (sync_key_a0 to a3)")
    lines += [f"sync frames that unit {unit['unit']} refused so far: "
              + ", ".join(f"{name} {count}" for name, count in unit["sync_refused"].items())
              for unit in status["units"] if unit.get("sync_refused")]
    if not status["running"]:
        lines.append(stopped_text(all(unit["state"] in ("killed", "dead") for unit in status["units"])))
    elif status["active"] is None:
        lines.append("no unit is active")
    else:
        table = status["connections"]
        lines.append(f"connections: {table['in_use']} of {table['limit']} in use, "
                     f"{table['half_open']} of them in a handshake")
        if table["full"]:
            lines.append("connection table: full, further SYNs take the place of those in TIME-WAIT or are refused")
        if table["refused"]:
            lines.append(f"SYNs refused so far: {table['refused']} ({', '.join(_REFUSALS)})")
        lines.append("connections are "
                     + protection_text(status["protection"], 1 - status["active"], status["exposed"]))
    if status.get("bed"):
        return "\n".join(lines + [text for n in status["running"] for text in _process_text(status["units"][n])])
    lines.append(_frames_text(status))
    if "process" in status:
        lines.append(_clock_text(status["process"]))
    lines.append(f"simulation: cycle {status['cycle']}, {status['cycles_per_s']} cycles per second")
    return "\n".join(lines)


def _frames_text(status):
    frames, lost = status["frames"], status["lost"]
    return (f"frames in {frames['in'][0]} client side, {frames['in'][1]} server side; "
            f"out {frames['out'][0]}, {frames['out'][1]}"
            + (f"; refused by a namespace {lost[0]}, {lost[1]}" if any(lost) else ""))


def _clock_text(process):
    """How well the clock of a unit that is a process keeps to wall time."""
    late = (f"it lost time {process['late']} times, {process['lost_ms']:g} ms in all, {process['worst_ms']:g} ms at "
            "most" if process["late"] else "it lost no time")
    text = f"clock: {process['rate']} per second; {late}; {process['margin_ms']:g} ms within a lease do no harm"
    if process["silenced"]:
        text += (f"; more than that {process['silenced']} times, and {process['frames_not_sent']} frames were not sent "
                 "then")
    return text


def _process_text(unit):
    name = f"unit {unit['unit']}, process {unit['process']['pid']}"
    return [f"{name}: {_frames_text(unit)}", f"{name}: {_clock_text(unit['process'])}"]
