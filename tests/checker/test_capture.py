"""Captures of a run on the fake pair, read back by scapy and by tshark."""
import shutil
import subprocess

from scapy.utils import RawPcapNgReader

from spps_sim.campaign.scenario import Scenario, Trial
from spps_sim.checker import wire
from spps_sim.checker.capture import CaptureSet


def test_captures_open_with_nanoseconds_and_comments(tmp_path, lacking):
    trial = Trial(Scenario(preset="fake", up=2000, down=1500))
    trial.start()
    trial.run_until(trial.begin + 2000)
    trial.kill()
    trial.finish()
    paths = trial.write_captures(tmp_path)
    with RawPcapNgReader(str(paths["client"])) as reader:
        packets = [(data, (meta.tshigh << 32) + meta.tslow, meta.tsresol) for data, meta in reader]
    expected = sorted((f.cycle * 10, f.data) for f in trial.frames if f.side == 0)
    assert [(time, data) for data, time, _ in packets] == expected
    assert {resolution for *_, resolution in packets} == {10**9}
    if not shutil.which("tshark"):
        lacking("tshark is not installed: only scapy has read the captures")
    said = subprocess.run(["tshark", "-r", paths["client"], "-T", "fields", "-e", "frame.time_epoch", "-e",
                           "frame.comment", "-e", "frame.interface_name", "-e", "tcp.checksum.status", "-o",
                           "tcp.check_checksum:TRUE"],
                          capture_output=True, text=True, check=True).stdout.splitlines()
    assert len(said) == len(expected)
    comments = "\n".join(said)
    assert comments.count("the active unit is killed here") == 1 and comments.count("the standby takes over here") == 1
    assert {line.split("\t")[2] for line in said} == {"client network", "unit 0"}
    assert f"{expected[0][0] / 1e9:.9f}" in said[0] and not [line for line in said if line.endswith("\t0")]


def test_an_empty_link_gives_an_empty_file(tmp_path):
    captures = CaptureSet(tmp_path)
    captures.add(wire.CapturedFrame(10, "client", None, bytes(60)))
    paths = captures.close(5, None)
    assert len(list(RawPcapNgReader(str(paths["client"])))) == 1 and paths["sync"].stat().st_size == 28
