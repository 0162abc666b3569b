"""Campaigns without RTL, on the fake pair: verdicts, shards, replay, choice of kill cycles."""
import io
import json
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import click
import pytest
from rich.console import Console

from spps.cli import main
from spps.tools.errors import ToolError
from spps_sim.backend.fake import FakePair
from spps_sim.backend.simulation import Simulation
from spps_sim.campaign import campaign as campaigns
from spps_sim.campaign.scenario import Scenario, Trial
from spps_sim.checker.states import NAMES, STATES
from spps_sim.cli.campaign import campaign

ROOT = Path(__file__).parents[2]
QUIET = Console(quiet=True)
FAKE = Scenario(preset="fake", up=2000, down=1500)


@pytest.mark.parametrize("close", ["client", "server", "both"])
def test_a_run_without_kill_ends_clean(close):
    baseline = campaigns.learn(Scenario(preset="fake", close=close))
    assert baseline.failures == [] and baseline.last > baseline.first
    assert {s for c in range(baseline.first, baseline.last) for both in baseline.at(c) for s in both} >= {1, 4, 5, 11}


@pytest.mark.parametrize("close", ["client", "server"])
def test_a_half_closed_connection_carries_data(close):
    trial = Trial(Scenario(preset="fake", close=close, half_close=True, sack=True, wscale=3, timestamps=True))
    trial.start()
    trial.finish()
    assert trial.failures() == []
    server, = trial.accepted()
    first, last = (trial.connection, server) if close == "client" else (server, trial.connection)
    closed = next(time for time, what in last.history if what == "fin")
    assert sum(what == "data" and time > closed for time, what in first.history) >= 2
    assert first.sack and first.stamps.on and first.rcv_shift == first.snd_shift == 3


def test_all_connections_survive_a_campaign(tmp_path):
    console = Console(file=io.StringIO(), width=200)
    summary = campaigns.run_campaign(60, 3, scenario=FAKE, processes=1, out=tmp_path / "summary.json", console=console)
    assert (summary["cases"], summary["passed"], summary["failed"]) == (60, 60, 0)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["takeover_cycles"] == {"median": 300, "max": 300}
    assert set(summary["states"]) == {str(s) for s in STATES}
    printed = console.file.getvalue()
    assert all(name in printed for name in NAMES.values()) and "cannot exist" in printed, (
        "what states mean is said beside their table")


def test_shards_in_processes_give_the_same_verdicts(tmp_path):
    one, two = (campaigns.run_campaign(30, 5, scenario=FAKE, processes=n, out=tmp_path / f"{n}.json", console=QUIET)
                for n in (1, 2))
    assert {k: v for k, v in one.items() if k != "cases_per_s"} == {k: v for k, v in two.items() if k != "cases_per_s"}


class NeverTakesOver(FakePair):
    def __init__(self):
        super().__init__(takeover_after=1 << 60)


class Alters(FakePair):
    """Delivers other bytes after a takeover, with a right checksum."""

    def push_frame(self, port, data, err=False):
        if self._role == 2 and len(data) > 200:
            data = bytearray(data)
            data[-1] ^= 1
            total = struct.unpack_from("!H", data, 50)[0] - (1 if data[-1] & 1 else -1)
            struct.pack_into("!H", data, 50, total)
            data = bytes(data)
        super().push_frame(port, data, err)


class Crashes(FakePair):
    def controls(self, kill, freeze, detector, appoint=0, power_up=0):
        raise RuntimeError("as if the RTL had lost its `last`")


@pytest.mark.parametrize("broken, says",
                         [(NeverTakesOver, "never took over"), (Alters, "equal up to"), (Crashes, "RuntimeError")])
def test_a_broken_pair_fails_with_the_command_that_replays_it(tmp_path, monkeypatch, broken, says):
    monkeypatch.setattr(Scenario, "simulation", lambda self: Simulation(broken()))
    scenario = Scenario(preset="fake", up=2000, down=1500, limit=1_500_000, seed=9)
    baseline = campaigns.learn(scenario)
    kill = baseline.first + 1300
    (result,) = campaigns.run_shard(scenario, [kill])
    assert any(says in text for text in result["failures"])
    assert f"--replay {kill}" in scenario.replay(kill) and "--seed 9" in scenario.replay(kill)


def test_the_command_that_replays_a_case_says_all_of_its_scenario():
    scenario = Scenario(seed=9, fault="mixed", close="both", timestamps=True, msl=60_000, defines=("CUBIC", "NO_FAST"))
    words = scenario.replay(5).split()
    parent = click.Context(main, **main.context_settings)
    values = campaign.make_context("campaign", words[words.index("--replay"):], parent).params
    assert Scenario(**{name: value
                       for name, value in values.items() if name in vars(scenario) and name != "waves"}) == scenario
    assert values["replay_kill"] == 5


def test_the_command_that_replays_a_case_runs(tmp_path):
    kill = campaigns.learn(FAKE).first + 2000
    command = f"{FAKE.replay(kill)} --out {tmp_path / 'summary.json'}"
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("pass\n"), done.stdout + done.stderr
    assert (tmp_path / f"replay_{kill}" / "server.pcapng").stat().st_size > 1000


def test_kills_are_spread_and_repeatable():
    baseline = campaigns.learn(FAKE)
    kills = campaigns.choose_kills(baseline, 100, 1)
    assert kills == campaigns.choose_kills(baseline, 100, 1) != campaigns.choose_kills(baseline, 100, 2)
    assert len(kills) == len(set(kills)) == 100 and baseline.first <= kills[0] and kills[-1] < baseline.last
    assert max(b - a for a, b in pairwise(kills)) < (baseline.last - baseline.first) // 25
    assert len(campaigns.choose_kills(baseline, None, 1)) == baseline.last - baseline.first


def test_a_replay_outside_the_transfer_is_refused(tmp_path):
    baseline = campaigns.learn(FAKE)
    for kill, says in ((baseline.first - 1, f"the transfer begins at cycle {baseline.first}"),
                       (baseline.last + 1, f"the transfer is over at cycle {baseline.last}")):
        with pytest.raises(ToolError, match=f"kill at cycle {kill}: {says}"):
            campaigns.replay(FAKE, kill, tmp_path, waves=False)


def test_replay_repeats_a_case_and_leaves_captures(tmp_path):
    baseline = campaigns.learn(FAKE)
    assert campaigns.replay(FAKE, baseline.first + 2000, tmp_path, waves=False) == []
    assert (tmp_path / "client.pcapng").stat().st_size > 1000
