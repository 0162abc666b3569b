"""A process inside a namespace that prints JSON lines, as `network.transfer` does."""
import json
import os
import subprocess
import sys
import time

from spps.tools.errors import ToolError

__all__ = ["TRANSFER", "Reporter"]

#: the command of one end of a transfer, before its arguments
TRANSFER = [sys.executable, "-m", "spps_sim.network.transfer"]


class Reporter:
    """One process in a namespace and what it has said so far; use as a context manager to end it.

    progress: the last {"progress": n}. ready: it has said {"ready": true}. results: every other line.
    """

    def __init__(self, namespace, command, arguments=()):
        self.process = namespace.popen([*command, *map(str, arguments)], stdout=subprocess.PIPE,
                                       stdin=subprocess.DEVNULL, start_new_session=True)   # Ctrl-C is for us
        os.set_blocking(self.process.stdout.fileno(), False)
        self.progress, self.results, self.ready, self._rest = 0, [], False, b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def poll(self):
        """Read what is there; return whether the process lives."""
        living = self.process.poll() is None        # before reading: what it said last is not missed
        while chunk := self.process.stdout.read(65536):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                said = json.loads(line)
                self.ready |= said.get("ready", False)
                self.progress = said.get("progress", self.progress)
                if not {"ready", "progress"} & said.keys():
                    self.results.append(said)
        return living

    def wait(self, until, limit, what, meanwhile=lambda: time.sleep(0.02)):
        """Poll until until() is true. Raises ToolError with `what` when the process ends or `limit` s have passed."""
        deadline = time.monotonic() + limit
        while not until():
            if not self.poll() or time.monotonic() > deadline:
                if until():
                    return
                raise ToolError(what)
            meanwhile()

    def finish(self, limit=5.0):
        """SIGTERM, then read to the end of the process; returns the results."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.poll()
        return self.results

    def stop(self):
        """End the process at once."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()
