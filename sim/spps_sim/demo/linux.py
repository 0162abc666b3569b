"""`make demo`: real TCP transfers through a pair of SPPS whose active unit dies in the middle."""
import time

from spps.tools.paths import BUILD

from ..network.process import TRANSFER, Reporter
from ..network.testbed import Addresses, Testbed
from .run import DemoRun

__all__ = ["run_demo"]

PORT = 5001


def _sides(testbed, connections, size, seed, deadline):
    server = Reporter(testbed.namespaces[1], TRANSFER, ["server", PORT, connections, size, seed])
    try:
        server.wait(lambda: server.ready, deadline - time.monotonic(), "the transfer server did not start",
                    testbed.turn)
        return server, Reporter(testbed.namespaces[0], TRANSFER,
                                ["client", Addresses.vip[0], PORT, connections, size, seed])
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
            run.begin(testbed.kill, testbed.revive)
            results = _transfer(run, testbed, limit)
            lost, rate = testbed.lost, testbed.rate()
            fates = {str(fate): count for fate, count in testbed.link.fates.items()}
            if netem:
                fates["netem_lost"] = sum(sum(namespace.netem_drops()) for namespace in testbed.namespaces)
        return run.conclude(results, rate=rate, lost=sum(lost), fates=fates)
