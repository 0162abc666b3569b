"""`spps live` and `spps ctl` as a user runs them: real Linux sockets in namespaces, the command line, and what is left afterwards."""
import hashlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from spps_sim.campaign.scenario import Scenario
from spps_sim.cli.main import main
from spps_sim.live.control import ControlSocket
from spps_sim.network import namespaces as namespace
from spps_sim.network.testbed import Addresses

SPPS = [sys.executable, "-m", "spps_sim.cli.main"]


privileged = pytest.mark.usefixtures("privilege")


class Live:
    """A running `spps live`; its control socket is in `folder`."""

    def __init__(self, folder, *options):
        self.folder = folder
        self.log = folder / "live.log"
        with open(self.log, "w") as output:
            self.process = subprocess.Popen([*SPPS, "live", *options], cwd=folder, stdout=output, stderr=subprocess.STDOUT,
                                            start_new_session=True)
        self.names = [f"spps-{role}-{self.process.pid}" for role in ("client", "server")]

    def wait_ready(self, limit=120):
        deadline = time.monotonic() + limit
        while "ready" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def ctl(self, *words, ok=True):
        """The answer of `spps ctl`, read from its output."""
        done = subprocess.run([*SPPS, "ctl", *words], cwd=self.folder, capture_output=True, text=True, timeout=60)
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return json.loads(done.stdout)

    def command(self, side, *arguments):
        """`arguments` inside the namespace of side 0 (client) or 1 (server)."""
        return ["ip", "netns", "exec", self.names[side], *arguments]

    def python(self, side, script, *arguments, timeout=60):
        done = subprocess.run(self.command(side, sys.executable, "-c", script, *map(str, arguments)), capture_output=True, text=True,
                              timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr + self.log.read_text()
        return done.stdout.strip()

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def live(folder, *options):
    Scenario().built()          # so that what follows measures the command and not the compiler
    running = Live(folder, *options)
    try:
        running.wait_ready()
        yield running
    finally:
        if running.process.poll() is None:
            running.stop(signal.SIGKILL)


def left_over(names, limit=10):
    """What of the namespaces, devices and processes in them is still there after at most `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        spaces = [word for word in subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout.split() if word in names]
        pid = names[0].rsplit("-", 1)[1]
        links = [word for word in subprocess.run(["ip", "-o", "link"], capture_output=True, text=True).stdout.split()
                 if word.startswith(f"tp{int(pid) % 100000}")]
        processes = []
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if any(name.encode() in entry.read_bytes() for name in names):
                    processes.append(entry.parent.name)
            except OSError:
                pass
        found = spaces + links + processes
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


SERVE = "import http.server, sys; http.server.test(http.server.SimpleHTTPRequestHandler, port=80, bind=sys.argv[1])"

SEND = """
import hashlib, socket, sys, threading
address, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
data = bytes(i * 37 + i // 251 & 255 for i in range(size))
s = socket.create_connection((address, port), 30)
def send():
    s.sendall(data)
    s.shutdown(socket.SHUT_WR)
threading.Thread(target=send).start()
got = b""
while chunk := s.recv(65536):
    got += chunk
print("same" if got == data else "none" if not got else f"{len(got)} other bytes")
"""


@privileged
@pytest.mark.slow
def test_a_paced_download_survives_the_death_of_the_active_unit(tmp_path):
    blob = random.Random(1).randbytes(300_000)
    www = tmp_path / "www"
    www.mkdir()
    (www / "blob").write_bytes(blob)
    with live(tmp_path) as running:
        server = subprocess.Popen(running.command(1, sys.executable, "-c", SERVE, Addresses.server), cwd=www,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.python(1, f"""
import socket, time
for _ in range(100):
    try:
        socket.create_connection(("{Addresses.server}", 80), 1); break
    except OSError:
        time.sleep(0.1)
else:
    raise SystemExit("the web server did not start")""")
        before = running.ctl("status")
        assert before["active"] == 0 and before["killed"] == 0
        target = tmp_path / "got"
        curl = subprocess.Popen(running.command(0, "curl", "-sS", "--max-time", "90", "--limit-rate", "80k", "-o", str(target),
                                                f"http://{Addresses.vip[0]}/blob"), stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        while not (target.exists() and target.stat().st_size > 60_000) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert curl.poll() is None, "the download was over before the kill"
        assert running.ctl("kill", "active")["killed"] == 0
        _, errors = curl.communicate(timeout=100)
        assert curl.returncode == 0, errors
        assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(blob).digest()
        after = running.ctl("status")
        assert after["active"] == 1 and after["killed"] == 1 and after["epoch_1"] > before["epoch_1"]
        stats = running.ctl("stats")
        assert list(stats) == ["unit_1"] and stats["unit_1"]["in_use"] >= 0
        assert running.stop(signal.SIGTERM) == 0
        assert server.wait(10) != 0
    assert left_over(running.names) == []


@privileged
@pytest.mark.slow
def test_endpoint_mode_echoes_and_discards_and_control_answers(tmp_path):
    with live(tmp_path, "--mode", "endpoint") as running:
        for side in (0, 1):
            assert running.python(side, SEND, Addresses.vip[side], 7, 20_000) == "same"
        assert running.python(0, SEND, Addresses.vip[0], 9, 20_000) == "none"
        refused = "import socket, sys\ntry: socket.create_connection((sys.argv[1], 8), 20)\nexcept ConnectionRefusedError: print('refused')"
        assert running.python(0, refused, Addresses.vip[0]) == "refused"

        assert running.ctl("freeze", "active")["frozen"] == 0
        deadline = time.monotonic() + 20
        while running.ctl("status")["active"] != 1 and time.monotonic() < deadline:
            time.sleep(0.2)
        status = running.ctl("status")
        assert status["active"] == 1 and status["frozen"] == 1
        assert list(running.ctl("stats")) == ["unit_1"]
        assert running.ctl("thaw") == {"thawed": [0]}
        assert running.python(0, SEND, Addresses.vip[0], 7, 5000) == "same"
        stats = running.ctl("stats")
        assert stats["unit_0"]["fenced"] == 1 and stats["unit_1"]["active"] == 1
        assert "unknown command" in running.ctl("dance", ok=False)["error"]

        second = subprocess.run([*SPPS, "live"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert second.returncode == 1 and "another `spps live`" in second.stderr and second.stderr.count("\n") == 1
        assert running.ctl("status")["active"] == 1, "the first one still answers"
        assert running.stop(signal.SIGINT) == 0
    assert left_over(running.names) == []
    assert not (tmp_path / "build/live/control.sock").exists()


@privileged
@pytest.mark.slow
def test_nothing_is_left_after_sigkill(tmp_path):
    with live(tmp_path) as running:
        sleeper = subprocess.Popen(running.command(1, "sleep", "600"))
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        assert sleeper.wait(10) == -signal.SIGKILL, "processes in the namespaces end with it"
    assert left_over(running.names) == []
    done = subprocess.run([*SPPS, "ctl", "status"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1 and "no `spps live` answers" in done.stderr


def one_line(result_code, text):
    assert result_code == 1
    assert text.count("\n") == 1 and "Traceback" not in text
    return text


def test_ctl_without_live_says_so_in_one_line(tmp_path):
    done = subprocess.run([*SPPS, "ctl", "status"], cwd=tmp_path, capture_output=True, text=True)
    assert "no `spps live` answers at build/live/control.sock" in one_line(done.returncode, done.stderr)


def test_live_without_privilege_says_what_is_missing_in_one_line(monkeypatch):
    from click.testing import CliRunner
    monkeypatch.setattr(namespace.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(namespace.os.path, "exists", lambda path: True)
    monkeypatch.setattr(namespace.shutil, "which", lambda name: f"/sbin/{name}")
    result = CliRunner().invoke(main, ["live"])
    assert "TAP devices and network namespaces need root" in one_line(result.exit_code, result.output)
    monkeypatch.setattr(namespace.os.path, "exists", lambda path: path != "/dev/net/tun")
    result = CliRunner().invoke(main, ["live"])
    assert "/dev/net/tun is missing" in one_line(result.exit_code, result.output)


class Testbed:
    """As much of live.Testbed as a control socket needs."""
    killed = frozen = 0

    def status(self):
        return {"cycle": 1}

    def kill_active(self):
        raise RuntimeError("no unit is active")


@pytest.mark.parametrize("line, answer", [
    (b"status", {"cycle": 1}), (b"kill active", {"error": "no unit is active"}), (b"\xff\xfe", "unknown command"), (b"", "unknown command"),
])
def test_control_socket_answers_every_line_with_json(tmp_path, monkeypatch, line, answer):
    monkeypatch.chdir(tmp_path)
    with ControlSocket(Testbed(), "control.sock") as control:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect("control.sock")
            peer.sendall(line)
            peer.shutdown(socket.SHUT_WR)
            control.serve()
            said = json.loads(peer.makefile().read())
        assert said == answer if isinstance(answer, dict) else answer in said["error"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect("control.sock")
            peer.sendall(b"status")
        control.serve()             # who asked is gone: no harm
    assert not os.path.exists("control.sock")
