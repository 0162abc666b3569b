"""`make compare`: the transfers of the demo through HAProxy and keepalived; the active proxy dies in the middle."""
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from spps.tools.errors import ToolError
from spps.tools.paths import BUILD

from ..network.plan import plan_transfers, transfer_progress
from ..network.process import TRANSFER, Reporter
from .config import PROBE_PORT, TRANSFER_PORT, VIP
from .proxies import Proxies, find_programs, version
from .table import print_table, read_demo

__all__ = ["judge", "run_compare"]

START_S = 15.0          # within which processes and the first connection have to be there
POLL_S = 0.02
PROBE = [sys.executable, "-m", "spps_sim.compare.probe"]


def judge(results, connections):
    """What became of the connections.

    Parameters
    ----------
    results : list of dict
        Results of network.transfer, at most one per end of a connection.
    connections : int
        Number of connections; an end without a result has hung with nothing sent or received.

    Returns
    -------
    dict
        connections_lost; bytes_acked_undelivered and bytes_wrong with the directions up and down; ends: for client and
        server the number of ends that were complete, broken (reset or another error) or hung.
    """
    silent = {"ok": False, "error": "hung"}
    ends = {(r["role"], r["connection"]): r for r in results}
    figures = {"connections_lost": 0, "bytes_acked_undelivered": {"up": 0, "down": 0},
               "bytes_wrong": {"up": 0, "down": 0},
               "ends": {role: {"complete": 0, "broken": 0, "hung": 0} for role in ("client", "server")}}
    for index in range(connections):
        pair = {role: ends.get((role, index), silent) for role in ("client", "server")}
        figures["connections_lost"] += not all(end["ok"] for end in pair.values())
        for role, end in pair.items():
            fate = "complete" if "error" not in end else "hung" if end["error"].startswith("hung") else "broken"
            figures["ends"][role][fate] += 1
        for way, source, destination in (("up", "client", "server"), ("down", "server", "client")):
            arrived, right = (pair[destination].get(key, 0) for key in ("received", "matching"))
            figures["bytes_acked_undelivered"][way] += max(0, pair[source].get("acked", 0) - arrived)
            figures["bytes_wrong"][way] += arrived - right
    return figures


class _Run:
    """The processes of one comparison between the proxies, and its course."""

    def __init__(self, proxies, stack, seed, connections, size, rate, slow):
        def start(namespace, command, *arguments):
            return stack.enter_context(Reporter(namespace, command, arguments))

        self.proxies, self.total = proxies, 2 * connections * size
        transfer = (TRANSFER_PORT, connections, size, seed, rate, slow)
        self.echo = start(proxies.server, PROBE, "server", PROBE_PORT)
        self.server = start(proxies.server, TRANSFER, "server", *transfer)
        for process, what in ((self.echo, "the probe's server"), (self.server, "the transfer's server")):
            process.wait(lambda process=process: process.ready, START_S, f"{what} did not start")
        self.probe = start(proxies.client, PROBE, "client", VIP, PROBE_PORT)
        self.probe.wait(lambda: self.probe.results, START_S, "no connection through proxy 0 was answered")
        self.client = start(proxies.client, TRANSFER, "client", VIP, *transfer)

    def progress(self):
        """Poll the ends; returns bytes received so far by both."""
        for process in (self.client, self.server, self.probe):
            process.poll()
        return self.client.progress + self.server.progress

    def kill_at(self, wanted, show):
        """Kill proxy 0 when `wanted` bytes have arrived; returns the monotonic time and the bytes."""
        deadline = time.monotonic() + START_S
        done = before = 0
        while done < wanted:
            done = self.progress()
            show(done)
            self.proxies.check()
            if done > before:
                before, deadline = done, time.monotonic() + START_S
            if time.monotonic() > deadline:
                raise ToolError(f"no byte arrives for {START_S:g} s before the kill: see the logs in "
                                f"{self.proxies.out}")
            for end in self.client.results + self.server.results:
                raise ToolError(f"connection {end['connection']} ended before the kill, at the {end['role']}: "
                                f"{end.get('error', 'complete; give more --bytes or a lower --rate')}")
            time.sleep(POLL_S)
        return self.proxies.kill(0), done

    def served_again(self, killed):
        """Seconds from the kill to the first answer on a connection that was begun after it, or None."""
        return next((round(said["served"] - killed, 3) for said in self.probe.results if said["asked"] >= killed), None)

    def wait(self, killed, limit):
        """Until both ends have ended and the service is there, at most `limit` seconds after the kill."""
        while time.monotonic() < killed + limit:
            self.progress()
            if self.served_again(killed) is not None and not self.client.poll() and not self.server.poll():
                return
            time.sleep(POLL_S)


def run_compare(*, seed=None, connections=4, size=1 << 20, rate=1 << 18, slow="receiver", buffer=1 << 16, advert=1.0,
                limit=15.0, out=BUILD / "compare", demo=BUILD / "demo" / "summary.json", console=None):
    """Run the transfers through HAProxy and keepalived, and show what became of them beside the last demo.

    Parameters
    ----------
    seed : int, optional
        Of payload and kill; None draws one.
    connections, size : int
        Number of connections, and bytes each way of each.
    rate : int
        Bytes per second each way of a connection.
    slow : str
        Who holds to the rate: "receiver" or "sender".
    buffer : int
        Largest window and buffer of a socket, bytes.
    advert : float
        Interval of VRRP advertisements, seconds.
    limit : float
        Seconds after the kill within which an end that has neither ended nor failed is not hung.
    out, demo : Path
        Folder for summary.json, configuration and logs; summary.json of a demo.
    console : Console, optional
        Where progress and table are printed.

    Returns
    -------
    dict
        The summary, after writing it.

    Raises
    ------
    ToolError
        When a program is missing or ends, or the kill did not fall into the transfer.
    """
    out, console = Path(out), console or Console()
    programs, beside = find_programs(), read_demo(demo)
    seed, total, (wanted,) = plan_transfers(seed, connections, size, console)
    with ExitStack() as stack:
        shown = stack.enter_context(transfer_progress(console))
        task = shown.add_task("proxies start", total=total)
        proxies = stack.enter_context(Proxies(programs, advert, out, buffer))
        run = _Run(proxies, stack, seed, connections, size, rate, slow)
        shown.update(task, description="transfer")
        killed, at = run.kill_at(wanted, lambda done: shown.update(task, completed=done))
        shown.update(task, description=f"proxy 0 killed; {limit:g} s for the ends")
        run.wait(killed, limit)
        results = run.client.finish() + run.server.finish()
        served = run.served_again(killed)
        proxies.check()
    figures = judge(results, connections)
    summary = {
        "seed": seed, "connections": connections, "bytes_each_way": size, "rate": rate, "slow": slow, "buffer": buffer,
        "advert_s": advert, "limit_s": limit, "killed_at_bytes": at, **figures, "served_again_s": served,
        "programs": {name: version(path) for name, path in programs.items()},
    }
    (out / "summary.json").write_text(json.dumps(summary | {"results": results, "demo": beside}, indent=1) + "\n")
    print_table(console, summary, beside, demo)
    console.print(f"summary.json, configuration and logs are in {out}", soft_wrap=True)
    if served is None:
        raise ToolError(f"the standby served no connection within {limit:g} s: see {out}/proxy1/keepalived.log")
    return summary
