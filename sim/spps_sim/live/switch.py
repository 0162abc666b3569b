"""`spps ctl switch`: a planned switch-over of a running pair, to its end."""
from spps.failover.signature import SwitchVerdict
from spps.tools.errors import ToolError

__all__ = ["switch_over", "switch_text", "SWITCHING", "GIVEN_UP"]

PROXY = 1           # bit of cfg_mode
SPARE = 200_000     # cycles beyond `switch_patience`
#: what register `switch_state` says of the unit that hands over
SWITCHING = {1: "hands over: sources are stopped, what it holds leaves", 2: "hands over: frames from outside wait",
             3: "hands over: the last frame leaves", 4: "has handed over, and has not heard of the other unit yet"}
#: why a switch-over ended without one
GIVEN_UP = {
    SwitchVerdict.REFUSED: "refused, because connections were not protected",
    SwitchVerdict.UNSENT: "given up, because bytes waited that had never been sent: a destination takes nothing "
                          "(`--force` leaves them to their sources)",
    SwitchVerdict.BROKEN: "broken off, because the standby was lost",
    SwitchVerdict.BUSY: "given up, because the unit did not run empty",
    SwitchVerdict.UNANSWERED: "not taken by the other unit",
}


def switch_over(testbed, *, force=False):
    """Have the active hand over, and run until it has or has given up; returns what `spps ctl switch` shows.

    Raises ToolError when no unit is active, when it is an endpoint, and when it stops in the middle.
    """
    unit, sim = testbed.unit("active"), testbed.sim
    if not sim.read(unit, "cfg_mode") & PROXY:
        raise ToolError("connections of an endpoint (cfg_mode 0) are not shared with the standby: they would be lost")
    sim.write(unit, "switch_force", int(force))
    sim.write(unit, "switch", 1)
    began, patience = sim.cycle, sim.read(unit, "switch_patience")
    while True:
        verdict = sim.read(unit, "switch_verdict")
        if verdict != SwitchVerdict.NONE:
            break
        testbed.turn()
        if unit not in testbed.running():
            raise ToolError(f"unit {unit} has stopped in the middle of the switch-over")
        if sim.cycle - began > patience + SPARE:
            raise ToolError(f"the switch-over of unit {unit} did not end: {_state(sim, unit)}")
    name = SwitchVerdict(verdict).name.lower()
    answer = {"from": unit, "to": 1 - unit, "verdict": name, "cycle": sim.cycle}
    if verdict == SwitchVerdict.DONE:
        answer |= {"clocks": sim.read(unit, "switch_clocks"), "hold_clocks": sim.read(unit, "switch_hold_clocks")}
    return answer


def _state(sim, unit):
    return SWITCHING.get(sim.read(unit, "switch_state"), "it has not begun")


def switch_text(answer):
    """Return the line of `spps ctl switch`."""
    if answer["verdict"] == "done":
        return (f"unit {answer['from']} has handed over to unit {answer['to']}, {answer['clocks']} clocks after the "
                f"request; frames from outside waited for {answer['hold_clocks']} of them. Unit {answer['from']} joins "
                "as the standby")
    return f"unit {answer['from']} stays active: switch-over {GIVEN_UP[SwitchVerdict[answer['verdict'].upper()]]}"
