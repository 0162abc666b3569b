"""Campaigns, data states and captures, tested without RTL: on the fake pair and on made-up runs."""
import json
import shutil
import struct
import subprocess
from itertools import pairwise

import pytest
from rich.console import Console
from scapy.utils import RawPcapNgReader
from spps_sim.backend.fake import FakePair
from spps_sim.backend.interface import FrameKind, Mark, RawFrame
from spps_sim.backend.simulation import Simulation, load_registers
from spps_sim.campaign import campaign as campaigns
from spps_sim.campaign.scenario import Scenario, Trial
from spps_sim.checker import wire
from spps_sim.checker.capture import CaptureSet
from spps_sim.checker.states import STATES, DataStates
from spps_sim.checker.wire import ACK, SYN
from spps_sim.peers.frames import tcp_frame

QUIET = Console(quiet=True)
FAKE = Scenario(preset="fake", up=2000, down=1500)


@pytest.mark.parametrize("close", ["client", "server", "both"])
def test_a_run_without_kill_ends_clean(close):
    baseline = campaigns.learn(Scenario(preset="fake", close=close))
    assert baseline.failures == [] and baseline.last > baseline.first
    assert {s for c in range(baseline.first, baseline.last) for both in baseline.at(c) for s in both} >= {1, 4, 5, 11}


def test_all_connections_survive_a_campaign(tmp_path):
    summary = campaigns.run_campaign(60, 3, scenario=FAKE, processes=1, out=tmp_path / "summary.json", console=QUIET)
    assert (summary["cases"], summary["passed"], summary["failed"]) == (60, 60, 0)
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert summary["takeover_cycles"] == {"median": 300, "max": 300} and set(summary["states"]) == {str(s) for s in STATES}


def test_shards_in_processes_give_the_same_verdicts(tmp_path):
    one, two = (campaigns.run_campaign(30, 5, scenario=FAKE, processes=n, out=tmp_path / f"{n}.json", console=QUIET) for n in (1, 2))
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
    def controls(self, kill, freeze, detector, appoint=0):
        raise RuntimeError("as if the RTL had lost its `last`")


@pytest.mark.parametrize("broken, says", [(NeverTakesOver, "never took over"), (Alters, "equal up to"), (Crashes, "RuntimeError")])
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
    values = campaigns.campaign.make_context("campaign", words[words.index("--replay"):]).params
    assert Scenario(**{name: value for name, value in values.items() if name in vars(scenario) and name != "waves"}) == scenario
    assert values["replay_kill"] == 5


def test_kills_are_spread_and_repeatable():
    baseline = campaigns.learn(FAKE)
    kills = campaigns.choose_kills(baseline, 100, 1)
    assert kills == campaigns.choose_kills(baseline, 100, 1) != campaigns.choose_kills(baseline, 100, 2)
    assert len(kills) == len(set(kills)) == 100 and baseline.first <= kills[0] and kills[-1] < baseline.last
    assert max(b - a for a, b in pairwise(kills)) < (baseline.last - baseline.first) // 25
    assert len(campaigns.choose_kills(baseline, None, 1)) == baseline.last - baseline.first


def test_replay_repeats_a_case_and_leaves_captures(tmp_path):
    baseline = campaigns.learn(FAKE)
    assert campaigns.replay(FAKE, baseline.first + 2000, tmp_path, waves=False) == []
    assert (tmp_path / "client.pcapng").stat().st_size > 1000


# data states ---------------------------------------------------------------------------------
CLIENT, SERVER, VIP0, VIP1 = (0x0A010002, 40000), (0x0A020002, 80), (0x0A010001, 80), (0x0A020001, 33000)
ISN = {"client": 1000, "pair0": 0xFFFFFFF0, "pair1": 5000, "server": 0x80000000}


def segment(src, dst, seq, ack, flags, payload=b""):
    return tcp_frame(b"\2" * 6, b"\4" * 6, src, dst, seq=seq, ack=ack, flags=flags, window=1000, payload=payload)


def record(number, una_0, una_1):
    """A STATE frame with line 0, laid out from the published table."""
    header = struct.pack("!BBHIHHBBHIII6x", 2, 1, 0, number, 3, 1, 0, 0, 32, 0, 0, 0)
    return bytes(12) + b"\x88\xb5" + header + struct.pack("!8I", 0, 0, una_0 & 0xFFFFFFFF, 0, una_1 & 0xFFFFFFFF, 0, 0, 0)


def made_up_run():
    """100 bytes from client to server, each milestone at a known cycle; a timer event falls in between."""
    n, length = ISN, 100
    data_in = segment(CLIENT, VIP0, n["client"] + 1, n["pair0"] + 1, ACK, bytes(length))
    data_out = segment(VIP1, SERVER, n["pair1"] + 1, n["server"] + 1, ACK, bytes(length))
    ack_in = segment(SERVER, VIP1, n["server"] + 1, n["pair1"] + 1 + length, ACK)
    ack_out = segment(VIP0, CLIENT, n["pair0"] + 1, n["client"] + 1 + length, ACK)
    frames = [
        RawFrame(FrameKind.IN, 0, 10, 10, segment(CLIENT, VIP0, n["client"], 0, SYN)),
        RawFrame(FrameKind.OUT, 1, 20, 20, segment(VIP1, SERVER, n["pair1"], 0, SYN)),
        RawFrame(FrameKind.IN, 1, 30, 30, segment(SERVER, VIP1, n["server"], n["pair1"] + 1, SYN | ACK)),
        RawFrame(FrameKind.OUT, 0, 40, 40, segment(VIP0, CLIENT, n["pair0"], n["client"] + 1, SYN | ACK)),
        RawFrame(FrameKind.IN, 0, 110, 120, data_in), RawFrame(FrameKind.OUT, 1, 190, 200, data_out),
        RawFrame(FrameKind.IN, 1, 250, 250, ack_in),
        RawFrame(FrameKind.SYNC0, 0, 320, 330, record(8, n["pair0"] + 1, n["pair1"] + 1 + length)),
        RawFrame(FrameKind.OUT, 0, 400, 400, ack_out),
    ]
    wire = [(100, 0, "sent", data_in), (220, 1, "received", data_out), (221, 1, "sent", ack_in), (420, 0, "received", ack_out)]
    marks = [Mark(15, "delivered_0", 1), Mark(35, "delivered_0", 2), Mark(60, "delivered_0", 3), Mark(140, "delivered_0", 4),
             Mark(280, "delivered_0", 5), Mark(300, "issued_0", 8), Mark(360, "confirmed_0", 8)]
    return frames, wire, marks


def test_each_of_the_eleven_states_has_its_interval():
    states = DataStates(*made_up_run())
    expected = {1: (0, 100), 2: (120, 140), 3: (140, 200), 4: (200, 220), 5: (220, 250), 6: (250, 280), 7: (280, 300), 8: (300, 320),
                9: (320, 360), 10: (360, 400), 11: (400, 420)}
    assert {s: states.intervals[0, s] for s in STATES} == {s: [expected[s]] for s in STATES}
    assert not any(states.intervals[1, s] for s in STATES)
    assert states.at(99, 0) == [1] and states.at(110, 0) == [] and states.at(360, 0) == [10] and states.at(500, 0) == []
    assert states.cycles(7, 0) == list(range(280, 300))


def test_states_need_their_own_record():
    frames, wire, marks = made_up_run()
    frames[7] = frames[7]._replace(data=record(8, ISN["pair0"] + 1, ISN["pair1"] + 100))      # one byte short
    states = DataStates(frames, wire, marks)
    assert [s for s in STATES if states.intervals[0, s]] == [1, 2, 3, 4, 5, 6, 11]


# captures ------------------------------------------------------------------------------------
def test_captures_open_with_nanoseconds_and_comments(tmp_path, lacking):
    trial = Trial(FAKE)
    trial.start()
    trial.run_until(trial.begin + 2000)
    trial.kill()
    trial.finish()
    paths = trial.write_captures(tmp_path)
    with RawPcapNgReader(str(paths["client"])) as reader:
        packets = [(data, (meta.tshigh << 32) + meta.tslow, meta.tsresol) for data, meta in reader]
    expected = sorted((f.cycle * 10, f.data) for f in trial.frames if f.side == 0)
    assert [(time, data) for data, time, _ in packets] == expected and {resolution for *_, resolution in packets} == {10**9}
    if not shutil.which("tshark"):
        lacking("tshark is not installed: only scapy has read the captures")
    said = subprocess.run(["tshark", "-r", paths["client"], "-T", "fields", "-e", "frame.time_epoch", "-e", "frame.comment",
                           "-e", "frame.interface_name", "-e", "tcp.checksum.status", "-o", "tcp.check_checksum:TRUE"],
                          capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == len(expected)
    comments = "\n".join(said)
    assert comments.count("the active unit is killed here") == 1 and comments.count("the standby takes over here") == 1
    assert {line.split("\t")[2] for line in said} == {"client network", "unit 0"}
    assert f"{expected[0][0] / 1e9:.9f}" in said[0] and not [line for line in said if line.endswith("\t0")]


def test_an_empty_link_gives_an_empty_file(tmp_path):
    captures = CaptureSet(tmp_path)
    captures.add(wire.Frame(10, "client", None, bytes(60)))
    paths = captures.close(5, None)
    assert len(list(RawPcapNgReader(str(paths["client"])))) == 1 and paths["sync"].stat().st_size == 28


def test_registers_have_names_with_and_without_the_prefix_of_configuration(tmp_path):
    path = tmp_path / "registers.json"
    path.write_text(json.dumps({"cfg_mode": 256, "lease": 36}))
    assert load_registers(path) == load_registers({"cfg_mode": 256, "lease": 36})
    sim = Simulation(FakePair(), path)
    sim.configure({"mode": (1, 2), "lease": 7})
    assert [sim.counters(unit) for unit in (0, 1)] == [{"cfg_mode": 1, "lease": 7}, {"cfg_mode": 2, "lease": 7}]
