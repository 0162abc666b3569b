"""`make demo`: real TCP transfers through a pair of SPPS whose active unit dies in the middle."""
import json
import os
import subprocess
import sys
import time

from spps.tools.errors import ToolError
from spps.tools.paths import BUILD

from ..network.testbed import Addresses, Testbed
from .run import DemoRun

__all__ = ["run_demo"]

PORT = 5001
_TRANSFER = [sys.executable, "-m", "spps_sim.network.transfer"]


class _Side:
    """One transfer process and its output so far."""

    def __init__(self, namespace, arguments):
        self.process = namespace.popen([*_TRANSFER, *map(str, arguments)], stdout=subprocess.PIPE,
                                       stdin=subprocess.DEVNULL)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.progress, self.results, self.ready, self._rest = 0, [], False, b""

    def poll(self):
        """Read what is there; return whether the process lives."""
        while chunk := self.process.stdout.read(65536):
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            for line in lines:
                said = json.loads(line)
                self.ready |= said.get("ready", False)
                self.progress = said.get("progress", self.progress)
                if "role" in said:
                    self.results.append(said)
        return self.process.poll() is None

    def stop(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def _sides(testbed, connections, size, seed, deadline):
    server = _Side(testbed.namespaces[1], ["server", PORT, connections, size, seed])
    try:
        while not server.ready:
            if not server.poll() or time.monotonic() > deadline:
                raise ToolError("the transfer server did not start")
            testbed.turn()
        return server, _Side(testbed.namespaces[0], ["client", Addresses.vip[0], PORT, connections, size, seed])
    except BaseException:
        server.stop()
        raise


def _transfer(run, testbed, limit):
    """Run the transfers and the kill; returns the results of all connections."""
    deadline = time.monotonic() + limit
    server, client = _sides(testbed, run.connections, run.size, run.seed, deadline)
    try:
        alive = True
        while alive and time.monotonic() < deadline:
            testbed.turn()
            alive = client.poll() | server.poll()
            run.advance(client.progress + server.progress)
        settle = time.monotonic() + 0.5
        while time.monotonic() < settle:        # let the last ACKs cross
            testbed.turn()
    finally:
        client.stop()
        server.stop()
    return client.results + server.results


def run_demo(make_simulation, params, *, seed=None, connections=4, size=1 << 20, out=BUILD / "demo", limit=900,
             waves=False, faults=None, netem=(), image=None, console=None):
    """Run the demo over kernel sockets.

    Parameters
    ----------
    make_simulation : callable
        Returns the Simulation.
    params : SppsParams
        Of the pair.
    seed, connections, size, out, waves, image, console
        See DemoRun.
    limit : float
        Seconds of wall time.
    faults, netem
        Of the links, see Testbed.

    Returns
    -------
    dict
        The summary, after writing it.

    Raises
    ------
    MissingPrivilege
        When TAP devices are not permitted.
    """
    sim = make_simulation()
    with DemoRun(sim, "linux", seed=seed, connections=connections, size=size, out=out, waves=waves, image=image,
                 console=console) as run:
        with Testbed(sim, params, on_frame=run.record, faults=faults, netem=netem, seed=run.seed) as testbed:
            run.begin(testbed.kill)
            results = _transfer(run, testbed, limit)
            lost, rate = testbed.lost, testbed.rate()
            fates = {str(fate): count for fate, count in testbed.link.fates.items()}
            if netem:
                fates["netem_lost"] = sum(sum(namespace.netem_drops()) for namespace in testbed.namespaces)
        return run.conclude(results, rate=rate, lost=sum(lost), fates=fates)
