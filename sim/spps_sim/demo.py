"""`make demo`: real TCP transfers through a pair of SPPS whose active unit dies in the middle."""
import json
import random
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .live import Addresses, Plant
from .monitor import check
from .report import write_report
from .sequence import sequence
from .wire import Frame

__all__ = ["run_demo", "NS_PER_CYCLE"]

NS_PER_CYCLE = 10       # captures are stamped as if the pair ran at 100 MHz
PORT = 5001
_TRANSFER = [sys.executable, "-m", "spps_sim.traffic.transfer"]


class _Side:
    """One transfer process and what it has said so far."""

    def __init__(self, namespace, arguments):
        self.process = namespace.popen([*_TRANSFER, *map(str, arguments)], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        import os
        os.set_blocking(self.process.stdout.fileno(), False)
        self.progress, self.results, self.ready, self._rest = 0, [], False, b""

    def poll(self):
        """Read what is there; returns True while the process lives."""
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


class _Recorder:
    """Frames of a run in memory and in pcapng files."""

    def __init__(self, folder):
        from .capture import CaptureSet
        self.frames = []
        self.files = CaptureSet(folder)

    def __call__(self, link, unit, cycle, data):
        frame = Frame(cycle * NS_PER_CYCLE, link, unit, data)
        self.frames.append(frame)
        self.files.add(frame)

    def close(self, kill_time, takeover_time):
        self.files.close(kill_time, takeover_time)


def _sides(plant, connections, size, seed, deadline):
    server = _Side(plant.namespaces[1], ["server", PORT, connections, size, seed])
    try:
        while not server.ready:
            if not server.poll() or time.monotonic() > deadline:
                raise RuntimeError("the transfer server did not start")
            plant.turn()
        return server, _Side(plant.namespaces[0], ["client", Addresses.vip[0], PORT, connections, size, seed])
    except BaseException:
        server.stop()
        raise


def _transfer(plant, connections, size, seed, progress, limit):
    """Run the transfers and the kill; returns (results, (unit, cycle) of the kill or None)."""
    total = 2 * connections * size
    kill_at = int(total * random.Random(f"{seed}/kill").uniform(0.2, 0.7))
    deadline = time.monotonic() + limit
    server, client = _sides(plant, connections, size, seed, deadline)
    task = progress.add_task("transfer", total=total)
    killed = None
    try:
        alive = True
        while alive and time.monotonic() < deadline:
            plant.turn()
            alive = client.poll() | server.poll()
            done = client.progress + server.progress
            progress.update(task, completed=done)
            if killed is None and done >= kill_at:
                killed = plant.kill_active()
                progress.update(task, description=f"unit {killed[0]} killed at cycle {killed[1]}")
            if not alive:
                progress.update(task, completed=total if all(r.get("ok") for r in client.results + server.results) else done)
        settle = time.monotonic() + 0.5
        while time.monotonic() < settle:        # let the last ACKs cross
            plant.turn()
    finally:
        client.stop()
        server.stop()
    return sorted(client.results + server.results, key=lambda r: (r["role"], r["connection"])), killed


def _times(sim, recorder, killed):
    """(kill time, takeover time, cycles from kill to the new role, cycles to the first frame), ns and cycles."""
    if killed is None:
        return None, None, None, None
    unit, cycle = killed
    role = next((m.cycle for m in sim.pop_marks() if m.name == "role" and m.cycle >= cycle and m.value >> (1 - unit) & 1), None)
    first = next((f.time // NS_PER_CYCLE for f in recorder.frames if f.unit == 1 - unit and f.link != "sync"
                  and f.time >= cycle * NS_PER_CYCLE), None)
    return (cycle * NS_PER_CYCLE, role * NS_PER_CYCLE if role is not None else None,
            role - cycle if role is not None else None, first - cycle if first is not None else None)


def run_demo(make_simulation, params, *, seed=None, connections=4, size=1 << 20, out=Path("build/demo"), limit=900, waves=False,
             console=None):
    """Run the demo over kernel sockets; returns the summary (keys: see README.md, Figures) after writing it.

    make_simulation: () -> Simulation. limit: seconds of wall time. Raises traffic.namespace.MissingPrivilege.
    """
    console = console or Console()
    seed = seed if seed is not None else random.SystemRandom().randrange(1 << 31)
    out.mkdir(parents=True, exist_ok=True)
    console.print(f"seed {seed} (repeat with --seed {seed}); {connections} connections, {size} bytes each way each")
    recorder = _Recorder(out)
    sim = make_simulation()
    if waves:
        sim.trace(out / "demo.fst")
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), TimeElapsedColumn())
    with Plant(sim, params, on_frame=recorder) as plant, Progress(*columns, console=console) as progress:
        results, killed = _transfer(plant, connections, size, seed, progress, limit)
        lost, rate = plant.lost, plant.rate()
    if waves:
        sim.trace_close()
    kill_time, takeover_time, takeover_cycles, first_cycles = _times(sim, recorder, killed)
    recorder.close(kill_time, takeover_time)
    report = check(recorder.frames)
    passed = (len(results) == 2 * connections and all(r["ok"] for r in results) and report.ok and killed is not None
              and takeover_time is not None)
    stalls = [r["stall"] for r in results if "stall" in r]
    summary = {
        "verdict": "pass" if passed else "fail", "seed": seed, "endpoints": "linux", "connections": connections,
        "bytes_up": sum(r.get("received", 0) for r in results if r["role"] == "server"),
        "bytes_down": sum(r.get("received", 0) for r in results if r["role"] == "client"),
        "ack_rule_checks": report.checks["I1"], "violations": len(report.violations), "sim_cycles_per_s": round(rate),
        "simulated_cycles": sim.cycle, "frames_lost_in_tap": sum(lost),
        "captures": {"client": "client.pcapng", "server": "server.pcapng", "sync": "sync.pcapng"},
    }
    if stalls:
        summary["longest_stall_ms"] = round(1000 * max(stalls), 1)
    for key, value in (("kill_cycle", killed and killed[1]), ("killed_unit", killed and killed[0]),
                       ("takeover_cycles", takeover_cycles), ("first_frame_cycles", first_cycles)):
        if value is not None:
            summary[key] = value
    (out / "summary.json").write_text(json.dumps(summary, indent=1))
    rows = _rows(summary)
    arrows = sequence(recorder.frames, kill_time, takeover_time) if kill_time is not None else []
    write_report(out / "report.html", summary, rows, results, report, arrows, kill_time or 0)
    _print(console, rows, results, report, out)
    return summary


def _rows(summary):
    show = (("bytes up / down", f"{summary['bytes_up']} / {summary['bytes_down']}"),
            ("kill cycle", summary.get("kill_cycle", "not killed")),
            ("takeover, cycles from the kill to the new role", summary.get("takeover_cycles", "none")),
            ("first frame of the new active, cycles from the kill", summary.get("first_frame_cycles", "none")),
            ("longest stall seen by an endpoint", f"{summary.get('longest_stall_ms', '?')} ms"),
            ("ACK-rule checks / violations", f"{summary['ack_rule_checks']} / {summary['violations']}"),
            ("simulation", f"{summary['sim_cycles_per_s']} cycles/s, {summary['simulated_cycles']} cycles"),
            ("verdict", summary["verdict"]))
    return [(key, str(value)) for key, value in show]


def _print(console, rows, results, report, out):
    table = Table(show_header=False)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for result in results:
        if not result.get("ok"):
            console.print(f"[red]{result['role']} connection {result['connection']}: {result.get('error', 'wrong bytes')}")
    for violation in report.violations[:10]:
        console.print(f"[red]{violation}")
    console.print(f"captures, report.html and summary.json are in {out}")
