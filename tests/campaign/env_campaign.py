"""A campaign of crossed faults without Dask: shards run in the process of the test."""
import io
import json

from rich.console import Console

from spps_sim.campaign import crossed, shard

__all__ = ["Env", "InProcess"]


class InProcess:
    """Stands for `Pool`. requests: what it was asked for. fails: number of requests after which it is interrupted."""

    def __init__(self, fails=None):
        self.requests, self.fails = [], fails

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def run(self, requests):
        for request in requests:
            if "cases" in request and self.fails is not None and len(self.requests) >= self.fails:
                raise KeyboardInterrupt
            self.requests += [request] if "cases" in request else []
            yield request, self.lines(request)

    def lines(self, request):
        said = io.StringIO()
        counted, shard.threads = shard.threads, lambda: 1       # pytest-xdist has threads; the fake pair does not mind
        try:
            shard.main(io.StringIO(json.dumps(request) + "\n"), said)
        finally:
            shard.threads = counted
        return [json.loads(line) for line in said.getvalue().splitlines()]


class Env:
    """A campaign in a folder, on the pair without RTL and without its page, which test_page.py looks at."""

    def __init__(self, folder):
        self.out = folder / "summary.json"
        self.console = Console(file=io.StringIO(), width=200)

    def run(self, cases=12, seed=3, pool=None, **options):
        """Return (summary, what was printed)."""
        page, crossed.write_page = crossed.write_page, lambda *args: None
        try:
            summary = crossed.run_crossed(cases, seed, out=self.out, preset="fake", pool=pool or InProcess(),
                                          console=self.console, **options)
        finally:
            crossed.write_page = page
        assert isinstance(self.console.file, io.StringIO)
        return summary, self.console.file.getvalue()
