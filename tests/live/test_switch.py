"""`spps ctl switch`: a planned switch-over to its end, and what is said of it."""
import json

import pytest

from spps.failover.signature import SwitchVerdict
from spps.tools.errors import ToolError
from spps_sim.live.status import read_status, status_text
from spps_sim.live.switch import switch_over, switch_text
from tests.live.env_live import Env
from tests.live.test_control import Served


class Ending(Env):
    """A switch-over of unit 0 ends after some turns, with a verdict."""

    def __init__(self, verdict=SwitchVerdict.DONE):
        super().__init__()
        self.verdict = verdict
        self.pair.values[0] |= {"switch_patience": 1000, "switch_clocks": 900, "switch_hold_clocks": 700}

    def turn(self, idle_wait=0.0):
        super().turn()
        if self.turns == 3:
            self.pair.values[0]["switch_verdict"] = self.verdict


@pytest.mark.parametrize("force", [False, True])
def test_it_waits_for_the_end(force):
    env = Ending()
    answer = switch_over(env, force=force)
    assert env.turns == 3 and env.pair.written == [(0, "switch_force", int(force)), (0, "switch", 1)]
    cycle = answer.pop("cycle")
    assert 300 < cycle <= env.sim.cycle
    assert answer == {"from": 0, "to": 1, "verdict": "done", "clocks": 900, "hold_clocks": 700}
    assert switch_text(answer) == (
        "unit 0 has handed over to unit 1, 900 clocks after the request; frames from outside waited for 700 of them. "
        "Unit 0 joins as the standby")


@pytest.mark.parametrize("verdict", [v for v in SwitchVerdict if v > SwitchVerdict.DONE])
def test_why_there_was_none(verdict):
    env = Ending(verdict)
    said = switch_text(switch_over(env))
    assert said.startswith("unit 0 stays active: switch-over ")
    reason = said.removeprefix("unit 0 stays active: switch-over ")
    assert f"unit 0: active, epoch 1, last switch-over {reason}" in status_text(read_status(env))


@pytest.mark.parametrize("state, words", (
    (0, "unit 0: active, epoch 1\n"), (1, "sources are stopped"), (2, "frames from outside wait"), (3, "last frame"),
    (4, "has handed over"),
))
def test_status_says_how_far_it_is(state, words):
    env = Env()
    env.pair.values[0]["switch_state"] = state
    assert words in status_text(read_status(env))


def test_an_endpoint_does_not_switch_over():
    env = Ending()
    env.pair.values[0]["cfg_mode"] = 0
    with pytest.raises(ToolError, match="not shared with the standby: they would be lost"):
        switch_over(env)
    assert not env.pair.written


def test_a_unit_that_stops_in_the_middle():
    env = Ending()
    turn = env.turn

    def dies(idle_wait=0.0):
        turn()
        if not env.killed:
            env.kill("0")
    env.turn = dies
    with pytest.raises(ToolError, match="unit 0 has stopped in the middle"):
        switch_over(env)


def test_one_that_does_not_end():
    env = Ending(SwitchVerdict.NONE)
    env.pair.values[0]["switch_state"] = 2
    with pytest.raises(ToolError, match="did not end: hands over: frames from outside wait"):
        switch_over(env)


def test_the_command(tmp_path):
    with Served(Ending(), tmp_path / "live.sock") as served:
        result = served.ctl("switch", "--force", "--json")
        assert result.exit_code == 0 and json.loads(result.output)["verdict"] == "done"
    with Served(Ending(SwitchVerdict.UNSENT), tmp_path / "live.sock") as served:
        result = served.ctl("switch")
        assert result.exit_code == 1 and "never been sent" in result.output
