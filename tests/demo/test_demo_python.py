"""`spps demo` with Python endpoints: forced, and where TAP devices are refused; the window of a waveform."""
import json

import pytest
from click.testing import CliRunner

from spps.cli import main
from spps_sim.backend.interface import Mark
from spps_sim.demo import run as demo_run
from spps_sim.network import namespaces as namespace

KEYS = {"verdict", "seed", "endpoints", "connections", "bytes_up", "bytes_down", "ack_rule_checks", "violations",
        "sim_cycles_per_s", "simulated_cycles", "frames_lost_in_tap", "captures", "longest_stall_ms", "kill_cycle",
        "killed_unit", "takeover_cycles", "first_frame_cycles", "revived_cycle", "protected_cycle", "resync_cycles",
        "second_kill_cycle", "second_killed_unit", "second_takeover_cycles"}


def demo(out, *arguments):
    """(command result, summary) of a small demo."""
    result = CliRunner().invoke(main,
                                ["demo", "--preset", "tiny", "--seed", "5", "--connections", "3", "--bytes", "12000",
                                 "--out", str(out), *arguments])
    return result, json.loads((out / "summary.json").read_text())


@pytest.mark.slow
def test_demo_without_tap_devices_is_the_demo_with_python_endpoints(tmp_path, monkeypatch):
    """Same command, same keys, and the same run to the cycle whether it is asked for or fallen back to."""
    def refuse():
        raise namespace.MissingPrivilege("nobody may")

    monkeypatch.setattr(namespace, "require_privilege", refuse)
    forced, first = demo(tmp_path / "forced", "--endpoints", "python")
    fallen, second = demo(tmp_path / "auto")
    assert forced.exit_code == fallen.exit_code == 0, forced.output + fallen.output
    assert "no TAP devices (nobody may)" in fallen.output and "no TAP devices" not in forced.output
    assert set(first) == KEYS and first["endpoints"] == "python" and first["verdict"] == "pass"
    assert first["violations"] == 0 and first["second_killed_unit"] == 1 - first["killed_unit"]
    assert (first["kill_cycle"] < first["revived_cycle"] < first["protected_cycle"] <= first["second_kill_cycle"]
            < first["simulated_cycles"])
    assert first["bytes_up"] == first["bytes_down"] == 36_000 and first["ack_rule_checks"] > 30
    assert ({k: v for k, v in first.items() if k != "sim_cycles_per_s"}
            == {k: v for k, v in second.items() if k != "sim_cycles_per_s"})
    for name in ("report.html", *first["captures"].values()):
        assert (tmp_path / "forced" / name).stat().st_size > 1000
    refused = CliRunner().invoke(main, ["demo", "--endpoints", "linux"])
    assert refused.exit_code == 1 and refused.output.strip() == "Error: nobody may"


class Clock:
    """A simulation that only has time, traces and a takeover 700 cycles after the kill."""

    def __init__(self):
        self.cycle, self.traced, self.killed, self.again, self.revived = 0, [], None, None, None
        self.watched = []

    def trace(self, path):
        self.traced.append(("open", path.name, self.cycle))

    def trace_close(self):
        self.traced.append(("close", self.cycle))

    def watch(self, on=True):
        self.watched.append((on, self.cycle))

    def pop_activity(self):
        return []

    def kill(self):
        """The first call kills unit 0, and unit 1 takes over; the second one kills unit 1."""
        if self.killed is None:
            self.killed = self.cycle
            return 0, self.cycle
        self.again = self.cycle
        return 1, self.cycle

    def revive(self, unit):
        assert unit == 0 and self.killed is not None
        self.revived = self.cycle

    def read(self, unit, name):
        """Unit 1 has all records at the standby 2000 cycles after that was switched on."""
        ready = self.cycle >= self.revived + 2000
        return {"joined": 1, "resync": int(not ready), "exposed": 0, "resync_clocks": 1234}[name]

    def pop_marks(self):
        marks = []
        for killed, active in ((self.killed, 2), (self.again, 1)):
            if killed is not None and self.cycle >= killed + 700:
                marks.append(Mark(killed + 700, "active", active))
        return marks


@pytest.mark.parametrize("waves", [False, True])
def test_trace_and_waveform_cover_the_kill_and_the_takeover(tmp_path, waves):
    clock = Clock()
    with demo_run.DemoRun(clock, "python", seed=1, connections=2, size=100_000, out=tmp_path, waves=waves) as run:
        run.begin(clock.kill, clock.revive)
        while clock.cycle < 400_000:
            clock.cycle += 100
            run.advance(clock.cycle)        # a byte a cycle
    margin = demo_run.WAVE_MARGIN
    assert run.first.killed == (0, clock.killed) and 0.2 * 400_000 <= clock.killed <= 0.45 * 400_000 + margin + 100
    second = run.second
    assert 0 <= clock.revived - (clock.killed + 700) - 3000 <= 100 and second.killed == (1, clock.again)
    assert clock.revived + 2000 <= second.protected <= clock.again and second.resync_clocks == 1234
    assert 0.45 * 400_000 <= clock.again <= 0.7 * 400_000 + 1100 and second.takeover_cycle == clock.again + 700
    (_, opened), (_, closed) = clock.watched
    assert [on for on, _ in clock.watched] == [True, False]
    assert 0 <= clock.killed - opened - margin <= 100 and 0 <= closed - (clock.killed + 700) - margin <= 100
    if not waves:
        assert clock.traced == []
        return
    (_, name, opened), (_, closed) = clock.traced
    assert name == run.wave_file and name.startswith("demo.")
    assert 0 <= clock.killed - opened - margin <= 100 and 0 <= closed - (clock.killed + 700) - margin <= 100
