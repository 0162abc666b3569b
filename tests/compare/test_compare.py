"""`spps compare`: what it refuses, a small run, and that nothing of it stays."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from spps.cli import main
from spps.tools.errors import ToolError
from spps_sim.compare.proxies import PROGRAMS, Proxies, find_programs
from spps_sim.network.namespaces import MissingPrivilege, require_privilege

RUN = [sys.executable, "-m", "spps", "compare"]
SMALL = ["--seed", "5", "--connections", "3", "--bytes", "512k", "--rate", "128k", "--buffer", "32k", "--advert", "0.1",
         "--limit", "5"]


@pytest.fixture
def programs(lacking):
    """Paths of HAProxy and keepalived; tests do not install them."""
    try:
        require_privilege(tap=False)
        return find_programs()
    except (MissingPrivilege, ToolError) as reason:
        lacking(str(reason))


def left_of(pid):
    """Namespaces whose name has the number of a process."""
    folder = Path("/var/run/netns")
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    return [name for name in names if name.split("-")[2:3] == [str(pid)]]


def runs(pid):
    """Whether a process is there and no zombie, which its new parent has to take."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("arguments, said", [
    (("--connections", "0"), "'--connections': 0 is not in the range 1<=x<=1000"),
    (("--bytes", "0"), "expected a number of bytes of at least 1"),
    (("--rate", "0"), "expected a number of bytes of at least 1"),
    (("--rate", "1M"), "--bytes 1048576 at --rate 1048576: the transfer takes 1 s, expected 2 s or more"),
    (("--buffer", "1k"), "expected a number of bytes of at least 4096"),
    (("--buffer", "128k"), "--bytes 1048576 with --buffer 131072: expected 2097152 bytes or more"),
    (("--slow", "both"), "'both' is not one of 'receiver', 'sender'"),
    (("--advert", "0.001"), "must be from 0.01 to 40.95 s"),
    (("--limit", "0"), "'--limit': 0.0 is not in the range"),
    (("--seed", "-1"), "'--seed': -1 is not in the range"),
    (("--demo", "/"), "'/' is a directory"),
    (("--out", ""), "'': expected a path"),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_bad_input_is_refused(arguments, said):
    done = CliRunner().invoke(main, ["compare", *arguments], terminal_width=200)
    assert done.exit_code == 2 and said in done.output, done.output


def test_missing_programs_are_one_line(monkeypatch):
    monkeypatch.setattr("spps_sim.compare.proxies.shutil.which", lambda name, path: None)
    with pytest.raises(ToolError) as raised:
        find_programs()
    assert str(raised.value) == ("haproxy and keepalived missing: apt-get install haproxy keepalived, "
                                 "or make compare as root")


def test_programs_are_found_where_the_path_does_not_lead(monkeypatch):
    asked = []
    monkeypatch.setattr("spps_sim.compare.proxies.shutil.which", lambda name, path: asked.append(path) or f"/x/{name}")
    assert find_programs() == {name: f"/x/{name}" for name in PROGRAMS}
    assert all("/usr/sbin" in path.split(os.pathsep) for path in asked)


def test_without_root_it_says_so(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(MissingPrivilege, match="^(network namespaces need root|the command ip is missing)"):
        require_privilege(tap=False)


@pytest.mark.slow
@pytest.mark.root
def test_a_small_run_loses_every_connection_and_leaves_nothing(programs, tmp_path):
    with subprocess.Popen([*RUN, *SMALL, "--out", str(tmp_path / "out"), "--demo", str(tmp_path / "none.json")],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "--seed 5" in said and "SPPS (no demo)" in said and left_of(process.pid) == []
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    total = 2 * 3 * 512 * 1024
    assert summary["connections_lost"] == 3 and 0.2 * total <= summary["killed_at_bytes"] < 0.8 * total
    assert sum(summary["bytes_acked_undelivered"].values()) > 3 * 32 * 1024, "a slow receiver leaves bytes in the proxy"
    assert summary["bytes_wrong"] == {"up": 0, "down": 0}
    assert 0.2 < summary["served_again_s"] < 5, "the standby waits for three intervals, the first of which has begun"
    assert len(summary["results"]) == 6 and all(0 < end["received"] < 512 * 1024 for end in summary["results"])
    for number in (0, 1):
        assert {path.name for path in (tmp_path / "out" / f"proxy{number}").iterdir()} >= {
            "haproxy.cfg", "haproxy.log", "keepalived.conf", "keepalived.log"}


@pytest.mark.slow
@pytest.mark.root
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_however_it_is_ended(programs, tmp_path, number):
    with subprocess.Popen([*RUN, *SMALL, "--out", str(tmp_path)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(left_of(process.pid)) < 5 or not (tmp_path / "proxy1" / "vrrp.pid").exists():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
        children = [int((tmp_path / f"proxy{n}" / f"{name}.pid").read_text()) for n in (0, 1)
                    for name in ("keepalived", "vrrp")]
        process.send_signal(number)
        assert process.wait(30) == (-number if number == signal.SIGKILL else 1)
        assert number == signal.SIGKILL or process.stderr.read().strip() == "Aborted!"
    deadline = time.monotonic() + 20
    while left_of(process.pid) and time.monotonic() < deadline:    # the reapers need a moment after SIGKILL
        time.sleep(0.1)
    assert left_of(process.pid) == []
    assert len(children) == 4 and not any(map(runs, children))


@pytest.mark.slow
@pytest.mark.root
def test_a_program_that_ends_is_told_with_its_last_words(programs, tmp_path, monkeypatch):
    monkeypatch.setattr("spps_sim.compare.proxies.haproxy_config", lambda: "nonsense\n")
    with pytest.raises(ToolError, match=r"^haproxy of proxy \d ended: .*log\)$"):
        with Proxies(programs, 1.0, tmp_path, 1 << 16):
            pass
    assert left_of(os.getpid()) == []
