"""Wireshark reads the published format."""
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

import spps.failover
from spps_sim.model.failover import CONFIRM, HEARTBEAT, STATE, SyncFrame, decode, encode

SCRIPT = Path(spps.failover.__file__).with_name("spps_sync.lua")
FRAMES = (
    SyncFrame(STATE, 1, 7, conn=3, kind=0, stamp=9, clock=5, lines=tuple(range(100, 108))),
    SyncFrame(STATE, 1, 8, conn=4, kind=1, lines=tuple(range(48))),
    SyncFrame(STATE, 2, 9, conn=4, kind=2, lines=tuple(range(48))),
    SyncFrame(CONFIRM, 2, 9, unit=1),
    SyncFrame(HEARTBEAT, 2, 9, kind=1, stamp=0xDEADBEEF, tick=0xCAFE0001),
)


@pytest.mark.parametrize("frame", FRAMES)
def test_model_reads_what_it_writes(frame):
    assert decode(encode(frame)) == frame


@pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed (apt-get install tshark)")
def test_dissector_shows_every_field(tmp_path):
    capture = tmp_path / "sync.pcap"
    with capture.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for frame in FRAMES:
            data = encode(frame)
            file.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)
    names = ("type", "epoch", "number", "kind", "stamp", "clock", "tick")
    run = subprocess.run(["tshark", "-X", f"lua_script:{SCRIPT}", "-r", capture, "-T", "fields",
                          *[x for name in (*names, "conn", "word") for x in ("-e", f"spps_sync.{name}")]],
                         capture_output=True, text=True, check=True)
    rows = [line.split("\t") for line in run.stdout.splitlines()]
    assert len(rows) == len(FRAMES), run.stderr
    for row, frame in zip(rows, FRAMES):
        assert [int(x) for x in row[:7]] == [getattr(frame, name) for name in names]
        if frame.type == STATE:
            assert int(row[7]) == frame.conn and [int(x, 16) for x in row[8].split(",")] == list(frame.lines)
        else:
            assert row[7] == ""
