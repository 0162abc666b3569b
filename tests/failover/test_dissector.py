"""Wireshark reads the published format."""
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

import spps.failover
from spps_sim.model.failover import (
    CONFIRM,
    HANDOVER,
    HEARTBEAT,
    JOIN,
    START,
    STATE,
    SyncFrame,
    decode,
    encode,
)

SCRIPT = Path(spps.failover.__file__).with_name("spps_sync.lua")
FRAMES = (
    SyncFrame(STATE, 1, 7, conn=3, kind=0, stamp=9, clock=5, lines=tuple(range(100, 108))),
    SyncFrame(STATE, 1, 8, conn=4, kind=1, lines=tuple(range(48))),
    SyncFrame(STATE, 2, 9, conn=4, kind=2, lines=tuple(range(48))),
    SyncFrame(STATE, 2, 10, kind=3),
    SyncFrame(CONFIRM, 2, 9, unit=1, serial=0x1234567800000005, heard=3, slot=1),
    SyncFrame(JOIN, 2, 0x89ABCDEF, conn=255, stamp=77, unit=1),
    SyncFrame(START, 2, 9, kind=2, stamp=0xDEADBEEF),
    SyncFrame(HANDOVER, 2, 9, kind=1, stamp=0xDEADBEEF),
    SyncFrame(HEARTBEAT, 2, 9, kind=0, conn=12, stamp=5),
    SyncFrame(HEARTBEAT, 2, 9, kind=3, stamp=0xDEADBEEF, tick=0xCAFE0001),
)


@pytest.mark.parametrize("frame", FRAMES)
def test_model_reads_what_it_writes(frame):
    assert decode(encode(frame)) == frame


def test_dissector_shows_every_field(tmp_path, lacking):
    if not shutil.which("tshark"):
        lacking("the dissector was not run: tshark is not installed (apt-get install tshark)")
    capture = tmp_path / "sync.pcap"
    with capture.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for frame in FRAMES:
            data = encode(frame)
            file.write(struct.pack("<IIII", 0, 0, len(data), len(data)) + data)
    names = ("type", "epoch", "stamp", "clock", "tick", "key", "heard", "session", "serial", "tag", "number", "digest",
             "kind", "conn", "exposed", "connections", "word")
    run = subprocess.run(["tshark", "-X", f"lua_script:{SCRIPT}", "-r", capture, "-T", "fields",
                          *[x for name in names for x in ("-e", f"spps_sync.{name}")]],
                         capture_output=True, text=True, check=True)
    rows = [dict(zip(names, line.split("\t"))) for line in run.stdout.splitlines()]
    assert len(rows) == len(FRAMES), run.stderr
    for row, frame in zip(rows, FRAMES):
        state, beat = frame.type == STATE, frame.type in (HEARTBEAT, START)
        shown = {name: getattr(frame, name) for name in ("type", "epoch", "stamp", "clock", "tick", "heard", "session")}
        shown |= {"key": frame.slot, "serial": f"{frame.serial:#018x}", "tag": encode(frame)[-8:].hex()}
        shown |= {"digest": hex(frame.number), "connections": frame.conn + 1} if frame.type == JOIN else {
            "number": frame.number}
        shown |= {"conn": frame.conn} if state else {"exposed": frame.conn} if beat else {}
        shown |= {"kind": frame.kind} if state or beat or frame.type == HANDOVER else {}
        shown |= {"word": ",".join(hex(word) for word in frame.lines)} if frame.lines else {}
        for name in names:
            value = row[name]
            if name in ("digest", "word"):
                value = ",".join(hex(int(word, 16)) for word in value.split(",")) if value else ""
            assert value == str(shown.get(name, "")), (name, frame)
