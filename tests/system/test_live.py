"""`spps live` and `spps ctl` as a user runs them: Linux sockets in namespaces, and what is left afterwards."""
import hashlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from spps.cli import main
from spps.params import PRESETS
from spps_sim.backend.verilated import build_library, pair_verilog
from spps_sim.network import namespaces as namespace
from spps_sim.network.testbed import Addresses

SPPS = [sys.executable, "-m", "spps"]


privileged = pytest.mark.usefixtures("privilege")


class Live:
    """A running `spps live`; its control socket is in `folder`, which is its folder for run-time files."""

    def __init__(self, folder, *options):
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        self.environment.pop("SPPS_CONTROL", None)
        self.socket = folder / "spps" / "live.sock"
        self.log = folder / "live.log"
        with open(self.log, "w") as output:
            self.process = subprocess.Popen([*SPPS, "live", *options], cwd=folder, env=self.environment, stdout=output,
                                            stderr=subprocess.STDOUT, start_new_session=True)
        self.names = [f"spps-{role}-{self.process.pid}" for role in ("client", "server")]

    def wait_ready(self, limit=120):
        deadline = time.monotonic() + limit
        while "; ready" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def say(self, *words, ok=True):
        """What `spps ctl` prints, called from another folder than `spps live`; on stderr when it is to fail."""
        done = subprocess.run([*SPPS, "ctl", *words], cwd="/", env=self.environment, capture_output=True, text=True,
                              timeout=60)
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done.stdout if ok else done.stdout + done.stderr

    def ctl(self, *words, ok=True):
        """The answer of `spps ctl ... --json`."""
        return json.loads(self.say(*words, "--json", ok=ok))

    def events(self):
        """Event lines so far, as (unit, text)."""
        lines = [line.split(": ", 1)[1] for line in self.log.read_text().splitlines()
                 if " cycle " in line and ": unit " in line]
        return [(int(line.split()[1]), line.split(" ", 2)[2]) for line in lines]

    def wait_for(self, unit, text, limit=30):
        """Wait for an event line of `unit` that begins with `text`."""
        deadline = time.monotonic() + limit
        while not any(n == unit and what.startswith(text) for n, what in self.events()):
            assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def command(self, side, *arguments):
        """`arguments` inside the namespace of side 0 (client) or 1 (server)."""
        return ["ip", "netns", "exec", self.names[side], *arguments]

    def python(self, side, script, *arguments, timeout=60):
        done = subprocess.run(self.command(side, sys.executable, "-c", script, *map(str, arguments)),
                              capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, done.stdout + done.stderr + self.log.read_text()
        return done.stdout.strip()

    def stop(self, number=signal.SIGINT):
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def live(folder, *options, preset="tiny"):
    build_library(pair_verilog(PRESETS[preset]))        # so that what follows measures the command and not the compiler
    running = Live(folder, *options, *(() if preset == "live" else ("--preset", preset)))
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
        known = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        spaces = [word for word in known.split() if word in names]
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
        assert before["active"] == 0 and before["running"] == [0, 1] and before["protection"] == "protected"
        target = tmp_path / "got"
        curl = subprocess.Popen(running.command(0, "curl", "-sS", "--max-time", "90", "--limit-rate", "80k",
                                                "-o", str(target), f"http://{Addresses.vip[0]}/blob"),
                                stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 30
        while not (target.exists() and target.stat().st_size > 60_000) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert curl.poll() is None, "the download was over before the kill"
        table = running.say("connections")
        assert f"> {Addresses.vip[0]}:80 " in table and f"> {Addresses.server}:80 " in table, table
        assert table.count("ESTABLISHED") == 2, table
        connection, = running.ctl("connections")["connections"]
        assert connection["protected"] and 1 < connection["bytes_up"] < 500
        assert 60_000 < connection["bytes_down"] < len(blob) + 1000
        assert running.ctl("kill", "active")["killed"] == 0
        _, errors = curl.communicate(timeout=100)
        assert curl.returncode == 0, errors
        assert hashlib.sha256(target.read_bytes()).digest() == hashlib.sha256(blob).digest()
        running.wait_for(1, "connections are unprotected")
        assert [(unit, what.split(":")[0]) for unit, what in running.events()][-3:] == [
            (0, "killed"), (1, "takes over"), (1, "connections are unprotected")]
        after, words = running.ctl("status"), running.say("status")
        assert after["active"] == 1 and after["running"] == [1]
        assert after["units"][1]["epoch"] > before["units"][0]["epoch"]
        assert "unit 0: killed\nunit 1: active" in words
        assert "connections are unprotected: unit 0 confirms nothing" in words
        stats = running.ctl("stats")
        assert list(stats) == ["unit_1"]
        assert stats["unit_1"]["takeovers"] == 1 and stats["unit_1"]["secret_0"] == "hidden"
        assert stats["unit_1"]["sync_key"] == 1 and stats["unit_1"]["sync_key_a0"] == 0
        running.ctl("kill", "1")
        assert "no unit runs: connections are lost" in running.say("status", ok=False)
        assert running.say("stats", ok=False) == "Error: no unit runs: unit 0 is killed, unit 1 is killed\n"
        assert running.stop(signal.SIGTERM) == 0
        assert server.wait(10) != 0
    assert left_over(running.names) == []


@privileged
@pytest.mark.slow
def test_endpoint_mode_echoes_and_discards_and_control_answers(tmp_path):
    with live(tmp_path, "--mode", "endpoint", "--metrics", "0") as running:
        for side in (0, 1):
            assert running.python(side, SEND, Addresses.vip[side], 7, 20_000) == "same"
        assert running.python(0, SEND, Addresses.vip[0], 9, 20_000) == "none"
        refused = ("import socket, sys\ntry: socket.create_connection((sys.argv[1], 8), 20)\n"
                   "except ConnectionRefusedError: print('refused')")
        assert running.python(0, refused, Addresses.vip[0]) == "refused"

        assert running.ctl("freeze", "active")["frozen"] == 0
        running.wait_for(1, "takes over: active, epoch 2")
        status = running.ctl("status")
        assert status["active"] == 1 and [unit["state"] for unit in status["units"]] == ["frozen", "active"]
        assert list(running.ctl("stats")) == ["unit_1"]
        assert running.ctl("thaw") == {"thawed": [0]}
        running.wait_for(0, "has joined as the standby")
        assert (0, "thawed") in running.events()
        assert running.python(0, SEND, Addresses.vip[0], 7, 5000) == "same"
        stats = running.ctl("stats")
        assert stats["unit_0"]["joined"] == 1 and stats["unit_1"]["active"] == 1
        assert stats["unit_0"]["failover_fenced"] == 1
        address = re.search(r"http://127.0.0.1:\d+/metrics", running.log.read_text())[0]
        text = urllib.request.urlopen(address, timeout=30).read().decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        assert [(s.labels["unit"], s.value) for s in families["spps_active"].samples] == [("0", 0), ("1", 1)]
        assert families["spps_splitter_frames"].samples[0].value > 20 and "secret" not in text
        assert running.ctl("set", "role_load", "0") == {"register": "role_load", "units": [0, 1]}
        assert running.say("set", "lease_valid", "1", ok=False) == "Error: lease_valid is read-only\n"
        assert running.ctl("get", "lease")["unit_1"] == 1200

        second = subprocess.run([*SPPS, "live", "--preset", "tiny"], cwd=tmp_path, env=running.environment,
                                capture_output=True, text=True, timeout=120)
        assert second.returncode == 1 and "another `spps live`" in second.stderr and second.stderr.count("\n") == 1
        assert running.ctl("status")["active"] == 1, "the first one still answers"
        assert running.stop(signal.SIGINT) == 0
    assert left_over(running.names) == []
    assert not running.socket.exists()


@privileged
@pytest.mark.slow
def test_nothing_is_left_after_sigkill(tmp_path):
    with live(tmp_path) as running:
        sleeper = subprocess.Popen(running.command(1, "sleep", "600"))
        script = "trap '' TERM HUP; echo deaf; while :; do sleep 1; done"
        deaf = subprocess.Popen(running.command(1, "sh", "-c", script),
                                stdout=subprocess.PIPE, text=True)
        assert deaf.stdout and deaf.stdout.readline() == "deaf\n", "the shell does not hear signals from now on"
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        assert sleeper.wait(10) == -signal.SIGTERM, "processes in the namespaces end with it"
        assert deaf.wait(10) == -signal.SIGKILL
    assert left_over(running.names) == []
    assert f"no `spps live` answers at {running.socket}" in running.say("status", ok=False)


MANY = """
import socket, sys
address, count = sys.argv[1], int(sys.argv[2])
held, refused = [], 0
for number in range(count):
    s = socket.socket()
    s.settimeout(float(sys.argv[3]))
    try:
        s.connect((address, 7))
    except ConnectionRefusedError:
        refused += 1
        continue
    held.append(s)
for number, s in enumerate(held):
    s.sendall(b"%d" % number)
print(len(held), sum(s.recv(100) == b"%d" % number for number, s in enumerate(held)), refused, flush=True)
sys.stdin.read()
"""


@contextmanager
def holding(running, count, timeout):
    """A client that has tried `count` echo connections: [open, answered, refused], as text."""
    command = running.command(0, sys.executable, "-c", MANY, Addresses.vip[0], str(count), str(timeout))
    client = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield client.stdout.readline().split()
    finally:
        client.communicate()


@privileged
@pytest.mark.slow
def test_connections_beyond_the_table_are_refused_and_status_says_so(tmp_path):
    with live(tmp_path, "--mode", "endpoint") as running:
        with holding(running, 17, 0.7) as answer:
            assert answer == ["16", "16", "1"]
            words = running.say("status")
            assert "connections: 16 of 16 in use" in words
            assert "connection table: full, further SYNs take the place of those in TIME-WAIT or are refused" in words
            assert running.ctl("status")["connections"]["refused"] > 0
            assert running.ctl("stats")["unit_0"]["lookup_table_full"] > 0
            listed = running.ctl("connections")["connections"]
            assert len(listed) == 16 and not any(c["server"] or c["protected"] for c in listed)
            assert all(c["bytes_up"] == c["bytes_down"] > 0 for c in listed)
            running.wait_for(0, "connection table full: 16 of 16 in use")


@privileged
@pytest.mark.slow
def test_the_default_preset_holds_256_connections(tmp_path):
    with live(tmp_path, "--mode", "endpoint", preset="live") as running:
        with holding(running, 256, 5) as answer:
            assert answer == ["256", "256", "0"]
            assert "connections: 256 of 256 in use" in running.say("status")
            assert len(running.ctl("connections")["connections"]) == 256


def one_line(result_code, text):
    assert result_code == 1
    assert text.count("\n") == 1 and "Traceback" not in text
    return text


def test_live_without_privilege_says_what_is_missing_in_one_line(monkeypatch):
    monkeypatch.setattr(namespace.os, "geteuid", lambda: 1000)
    monkeypatch.setattr(namespace.os.path, "exists", lambda path: True)
    monkeypatch.setattr(namespace.shutil, "which", lambda name: f"/sbin/{name}")
    result = CliRunner().invoke(main, ["live"])
    assert "TAP devices and network namespaces need root" in one_line(result.exit_code, result.output)
    monkeypatch.setattr(namespace.os.path, "exists", lambda path: path != "/dev/net/tun")
    result = CliRunner().invoke(main, ["live"])
    assert "/dev/net/tun is missing" in one_line(result.exit_code, result.output)
