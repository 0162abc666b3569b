"""`spps live --bed` and `spps live --unit` as a user runs them, and what switches and wires have seen."""
import json
import os
import signal
import subprocess
import sys
import time

from spps_sim.network.bed import read_bed
from spps_sim.network.testbed import Addresses

SPPS = [sys.executable, "-m", "spps"]
MAC = "02:00:5e:5d:50:01"
NETWORKS = "clients", "servers"

#: a web server that serves the file `blob` and stores what is put
SERVER = """
import http.server, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        with open("put", "wb") as file:
            while left and (data := self.rfile.read1(min(left, 65536))):
                file.write(data)
                left -= len(data)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], 80), Handler).serve_forever()
"""


class Bed:
    """A bed and its two units; use as a context manager. `folder` is that of run-time files and logs."""

    def __init__(self, folder, *options):
        self.folder, self.options = folder, options
        self.environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
        self.environment.pop("SPPS_CONTROL", None)
        self.processes = {}         # "bed", 0, 1, and what else was started

    def __enter__(self):
        self._start("bed", "--bed", ready="ready")
        self.names = read_bed(self.folder / "spps" / "live.sock")
        return self

    def __exit__(self, *_):
        for name in sorted(self.processes, key=lambda name: name == "bed"):
            process = self.processes[name]
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    def log(self, name):
        return (self.folder / f"{name}.log").read_text()

    def _start(self, name, *arguments, ready):
        with open(self.folder / f"{name}.log", "w") as output:
            self.processes[name] = process = subprocess.Popen(
                [*SPPS, "live", *arguments], cwd=self.folder, env=self.environment, stdout=output,
                stderr=subprocess.STDOUT, start_new_session=True)
        self.until(lambda: ready in self.log(name) or process.poll() is not None, 120, f"{name} to be ready")
        assert process.poll() is None, self.log(name)

    def start(self, unit):
        """Start the process of a unit, from nothing or after its end."""
        self._start(unit, "--unit", str(unit), "--preset", "tiny", *self.options, ready="; ready")

    def kill9(self, unit):
        """kill -9."""
        self.processes[unit].kill()
        self.processes[unit].wait()

    def until(self, done, limit, what):
        deadline = time.monotonic() + limit
        while not done():
            assert time.monotonic() < deadline, "\n".join(
                [f"no {what} in {limit} s", *(self.log(name) for name in self.processes if name in ("bed", 0, 1))])
            time.sleep(0.05)

    def ctl(self, *words, ok=True):
        """What `spps ctl` prints."""
        done = subprocess.run([*SPPS, "ctl", *words], cwd="/", env=self.environment, capture_output=True, text=True,
                              timeout=100)
        assert (done.returncode == 0) == ok, done.stdout + done.stderr
        return done.stdout if ok else done.stdout + done.stderr

    def status(self):
        return json.loads(subprocess.run([*SPPS, "ctl", "status", "--json"], cwd="/", env=self.environment, timeout=60,
                                         capture_output=True, text=True).stdout)

    def protected(self, active, limit=90):
        """Wait until unit `active` is the active one and the other one protects its connections."""
        def done():
            status = self.status()
            return status["active"] == active and status["protection"] == "protected"
        self.until(done, limit, f"protection of unit {active}")

    def both(self, announce_count=None):
        """Start unit 0, which becomes the active one, and unit 1; wait until the pair is protected."""
        self.start(0)
        self.until(lambda: self.status()["active"] == 0, 60, "active unit 0")
        self.start(1)
        self.protected(0)
        if announce_count is not None:
            self.ctl("set", "announce_count", str(announce_count))

    # networks --------------------------------------------------------------------------------
    def inside(self, side, *arguments):
        """`arguments` inside the namespace of side "client", "server" or "switch"."""
        return ["ip", "netns", "exec", self.names[side], *arguments]

    def popen(self, name, side, *arguments, **options):
        self.processes[name] = process = subprocess.Popen(self.inside(side, *arguments), **options)
        return process

    def learned(self, network):
        """Devices that the switch of a network has learned the virtual MAC address at."""
        done = subprocess.run(["bridge", "-n", self.names["switch"], "-j", "fdb", "show", "br", network],
                              capture_output=True, text=True, check=True)
        return [entry["ifname"] for entry in json.loads(done.stdout) if entry["mac"] == MAC]

    def emitted(self, unit):
        """Frames that a running unit has sent on the client and on the server network since it was started."""
        counts = []
        for network in NETWORKS:
            done = subprocess.run(["ip", "-n", self.names["switch"], "-j", "-s", "link", "show",
                                   f"tap{unit}-{network}"], capture_output=True, text=True, check=True)
            counts.append(json.loads(done.stdout)[0]["stats64"]["rx"]["packets"])
        return counts

    def serve(self, folder):
        """A web server on the server's side, in a folder."""
        self.popen("web", "server", sys.executable, "-c", SERVER, Addresses.server, cwd=folder)
        probe = f"import socket; socket.create_connection(('{Addresses.server}', 80), 1)"
        self.until(lambda: subprocess.run(self.inside("server", sys.executable, "-c", probe),
                                          capture_output=True).returncode == 0, 30, "web server")

    def curl(self, name, *arguments):
        """curl on the client's side, for the web server behind the units."""
        return self.popen(name, "client", "curl", "-sS", "--max-time", "400", *arguments,
                          f"http://{Addresses.vip[0]}/blob", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                          text=True)
