"""Shards on workers of Dask. A worker has threads, so it runs each shard in a process of its own (`shard.main`)."""
import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

from spps.tools.errors import ToolError

__all__ = ["Pool", "run_request"]


def run_request(request, sources=""):
    """Run a request of `shard.main` in a new process and return the lines that it printed, parsed.

    It is what a worker of Dask runs. sources: digest that this machine's sources must have; "": any.

    A process that fails adds {"lost": its last words}.

    Raises
    ------
    ToolError
        When the sources are others.
    """
    from .tree import sources_digest
    if sources and sources_digest(request["setting"][3]) != sources:
        raise ToolError("a worker has other sources than this command")
    done = subprocess.run([sys.executable, "-m", "spps_sim.campaign.shard"], input=json.dumps(request) + "\n",
                          capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode:
        lines.append({"lost": (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]})
    return lines


@contextlib.contextmanager
def _workers_ignore_interrupts():
    """Let processes that begin meanwhile ignore Ctrl-C: the command ends them, and says what it has."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class Pool:
    """Workers of Dask, for a with statement.

    Parameters
    ----------
    processes : int
        Worker processes on this machine, if there is no `scheduler`.
    scheduler : str
        Address of a Dask scheduler, e.g. "tcp://10.0.0.1:8786"; "": a cluster of this process.
    sources : str
        Digest of the sources that a worker must have.

    Raises
    ------
    ToolError
        When there is no scheduler at the address, or it has no workers.
    """

    TIMEOUT_S = 10

    def __init__(self, processes, scheduler="", sources=""):
        self.processes, self.scheduler, self.sources = processes, scheduler, sources
        self._stack = contextlib.ExitStack()
        self.client: Any = None

    def __enter__(self):
        from distributed import Client, LocalCluster
        if self.scheduler:
            try:
                self.client = self._stack.enter_context(Client(self.scheduler, timeout=self.TIMEOUT_S))
            except (OSError, ValueError) as error:
                raise ToolError(f"--scheduler {self.scheduler}: no Dask scheduler answers there") from error
            if not self.client.scheduler_info()["workers"]:
                raise ToolError(f"--scheduler {self.scheduler}: it has no workers")
        else:
            with _workers_ignore_interrupts():
                cluster = self._stack.enter_context(LocalCluster(
                    n_workers=self.processes, threads_per_worker=1, processes=True, host="127.0.0.1",
                    dashboard_address="127.0.0.1:0", silence_logs=40))
            self.client = self._stack.enter_context(Client(cluster))
        return self

    def __exit__(self, *error):
        self._stack.close()

    def run(self, requests) -> Iterator[tuple[dict, list]]:
        """Run requests of `shard.main`; yields (request, lines) as they come.

        A shard whose worker is lost, twice, has the line {"lost": why} only.
        """
        from distributed import KilledWorker, as_completed
        requests = list(requests)
        futures = self.client.map(run_request, requests, sources=self.sources, pure=False, retries=1)
        of = {future.key: request for future, request in zip(futures, requests)}
        for future in as_completed(futures):
            try:
                lines = future.result()
            except KilledWorker as error:
                lines = [{"lost": f"its worker was lost: {error}"}]
            yield of[future.key], lines
            future.release()
