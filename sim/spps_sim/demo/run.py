"""What every demo shares: the kills by seed, waveform and trace around the first, captures, summary, report and table.

The endpoints are those of `linux` or `python`.
"""
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..backend.reprogram import Reprogram
from ..backend.verilated import trace_kind
from ..checker.capture import NS_PER_CYCLE, CaptureSet
from ..checker.monitor import check
from ..checker.wire import CapturedFrame, parse_segment
from ..network.plan import plan_transfers, transfer_progress
from ..trace.report import write_report
from ..trace.sequence import sequence
from ..trace.window import TraceOptions, TraceWindow
from .second import Failure, SecondFailure

__all__ = ["DemoRun", "WAVE_MARGIN"]

WAVE_MARGIN = 5000      # cycles in a waveform and in a trace before the kill and after the takeover


class DemoRun:
    """One run of the demo; use as a context manager.

    Call begin(), then advance() again and again while the transfer runs and record() for every frame, then conclude().

    Parameters
    ----------
    sim : Simulation
        The pair.
    endpoints : str
        What they are, for the summary: "linux" or "python".
    seed : int, optional
        Of payload and kill; None draws one.
    connections, size : int
        Number of connections, and bytes each way of each.
    out : Path
        Directory for captures, report and summary.
    waves : bool
        Write a waveform around the kill.
    trace : TraceOptions, optional
        What is shown of what the cores did.
    image : Image, optional
        A program that goes into both units, cluster by cluster, when a twentieth of the bytes has arrived. The kill
        comes after it.
    console : Console, optional
        Where progress and table are printed.
    """

    def __init__(self, sim, endpoints, *, seed, connections, size, out, waves=False, trace=None,
                 image=None, console=None):
        self.sim, self.endpoints, self.connections, self.size = sim, endpoints, connections, size
        self.out, self.waves = Path(out), waves
        self.console = console or Console()
        self.seed, self.total, kill_bytes = plan_transfers(seed, connections, size, self.console, kills=2)
        self.kill_bytes, self._second_bytes = kill_bytes
        self.lead = min(WAVE_MARGIN, self.total // 20)      # cycles from those bytes to the kill, for the waveform
        self.kill_cycle = None
        self.first = Failure()
        self.wave_file = None
        self._tracing = False
        self.trace = TraceWindow(sim, trace or TraceOptions())
        self.swaps = {}                 # unit -> Reprogram
        self._swapping = self._swap(image) if image is not None else None
        self.frames = []

    def __enter__(self):
        self.out.mkdir(parents=True, exist_ok=True)
        self.captures = CaptureSet(self.out)
        self._progress = transfer_progress(self.console)
        self._progress.start()
        self._task = self._progress.add_task("transfer", total=self.total)
        return self

    def __exit__(self, *details):
        self._progress.stop()
        self._end_window()

    def mark(self, mark):
        """Take a status mark of the pair that the caller has popped."""
        self.first.mark(mark)
        self.second.mark(mark)

    # while it runs ---------------------------------------------------------------------------
    def begin(self, kill, revive):
        """Start; kill() kills the active unit and returns (unit, cycle), revive(unit) switches it on again."""
        self._kill = kill
        self.second = SecondFailure(self.sim, self.first, kill, revive, self._second_bytes)
        if self.trace.options.early:
            self.trace.open()

    def record(self, link, unit, cycle, data):
        """Take a frame on a network or on the sync link."""
        frame = CapturedFrame(cycle * NS_PER_CYCLE, link, unit, data)
        self.frames.append(frame)
        self.captures.add(frame)

    def advance(self, done):
        """Kill and revive when it is time, open and close waveform and trace: `done` bytes have arrived."""
        self._progress.update(self._task, completed=done)
        if self._swapping is not None and done >= self.total // 20 and next(self._swapping, self) is self:
            self._swapping = None
        if self.kill_cycle is None and done >= self.kill_bytes and self._swapping is None:
            self.kill_cycle = self.sim.cycle + self.lead
            self.trace.open()
            if self.waves:
                self.wave_file = f"demo.{trace_kind()}"
                self.sim.trace(self.out / self.wave_file)
                self._tracing = True
        if self.first.killed is None and self.kill_cycle is not None and self.sim.cycle >= self.kill_cycle:
            self.first.killed = self._kill()
        self._watch()
        self.second.advance(done)
        if self.first.killed is not None:
            self._progress.update(self._task, description=self._describe(self.first.killed))

    def _describe(self, killed):
        second = self.second
        if second.killed is not None:
            return f"unit {second.killed[0]} killed at cycle {second.killed[1]}"
        if second.protected is not None:
            return f"protected again at cycle {second.protected}"
        return f"unit {killed[0]} killed at cycle {killed[1]}" + (", switched on" if second.revived else "")

    def _swap(self, image):
        for unit in (0, 1):
            self.swaps[unit] = swap = Reprogram(self.sim, unit, image)
            yield from swap

    def _watch(self):
        """Note the takeover; end waveform and trace some time after it."""
        for mark in self.sim.pop_marks():
            self.mark(mark)
        if self.first.takeover_cycle is not None and self.sim.cycle >= self.first.takeover_cycle + WAVE_MARGIN:
            self._end_window()

    def next_action(self):
        """Return the cycle before which advance() has nothing to do but count bytes, or None."""
        if self.first.killed is None:
            return self.kill_cycle
        if self.first.takeover_cycle is None:
            return None
        due = [self.second.next_action()]
        if self.trace.is_open:
            due.append(self.first.takeover_cycle + WAVE_MARGIN)
        return min((cycle for cycle in due if cycle is not None), default=None)

    def _end_window(self):
        self.trace.close()
        if self._tracing:
            self.sim.trace_close()
            self._tracing = False

    # afterwards ------------------------------------------------------------------------------
    def conclude(self, results, *, rate, lost=0, fates=None):
        """Judge, write captures, trace.txt, report.html and summary.json, print the table; returns the summary.

        Parameters
        ----------
        results : list of dict
            Results of network.transfer, one per end of a connection.
        rate : float
            Simulated cycles per second of wall time.
        lost : int
            Frames that the TAP devices refused.
        fates : dict, optional
            What faulty links did to frames, by kind.
        """
        self._watch()
        self._end_window()
        if all(r.get("ok") for r in results):
            self._progress.update(self._task, completed=self.total)
        self._progress.stop()
        results = sorted(results, key=lambda r: (r["role"], r["connection"]))
        kill_time = self.first.killed and self.first.killed[1] * NS_PER_CYCLE
        takeover_time = self.first.takeover_cycle and self.first.takeover_cycle * NS_PER_CYCLE
        for cycle, text in ((self.second.revived, "the dead unit is switched on here"),
                            (self.second.protected, "the pair is protected again by here"),
                            (self.second.killed and self.second.killed[1], "the other unit is killed here"),
                            (self.second.takeover_cycle, "the unit that came back takes over here")):
            if cycle is not None:
                self.captures.comment(cycle * NS_PER_CYCLE, text)
        self.captures.close(kill_time, takeover_time)
        report = check(self.frames)
        summary = self._summary(results, report, rate, lost)
        if fates and any(fates.values()):
            summary["link_faults"] = fates
        (self.out / "summary.json").write_text(json.dumps(summary, indent=1))
        rows = _rows(summary)
        entries, conn = self.trace.entries(self.first.killed and self.first.killed[1], self.frames)
        (self.out / "trace.txt").write_text("\n".join(entry.text(self.trace.options.steps) for entry in entries))
        arrows = sequence(self.frames, kill_time, takeover_time, conn) if kill_time is not None else []
        write_report(self.out / "report.html", summary, rows, results, report, arrows, kill_time or 0, entries)
        _print(self.console, rows, results, report, self.out)
        return summary

    def _summary(self, results, report, rate, lost):
        passed = (len(results) == 2 * self.connections and all(r["ok"] for r in results) and report.ok
                  and self.first.killed is not None and self.first.takeover_cycle is not None and self._swapping is None
                  and self.second.takeover_cycle is not None)
        summary = {
            "verdict": "pass" if passed else "fail", "seed": self.seed, "endpoints": self.endpoints,
            "connections": self.connections,
            "bytes_up": sum(r.get("received", 0) for r in results if r["role"] == "server"),
            "bytes_down": sum(r.get("received", 0) for r in results if r["role"] == "client"),
            "ack_rule_checks": report.checks["I1"], "violations": len(report.violations),
            "sim_cycles_per_s": round(rate), "simulated_cycles": self.sim.cycle, "frames_lost_in_tap": lost,
            "captures": {"client": "client.pcapng", "server": "server.pcapng", "sync": "sync.pcapng"},
        }
        if stalls := [r["stall"] for r in results if "stall" in r]:
            summary["longest_stall_ms"] = round(1000 * max(stalls), 1)
        if self.first.killed is not None:
            unit, cycle = self.first.killed
            summary |= {"kill_cycle": cycle, "killed_unit": unit}
            if self.first.takeover_cycle is not None:
                summary["takeover_cycles"] = self.first.takeover_cycle - cycle
            first = next((f.time // NS_PER_CYCLE for f in self.frames if f.unit == 1 - unit and f.link != "sync"
                          and f.time >= cycle * NS_PER_CYCLE and parse_segment(f.data)), None)
            if first is not None:
                summary["first_frame_cycles"] = first - cycle
            summary |= self.second.summary()
        if self.swaps:
            summary["program_swaps"] = {unit: [swap._asdict() for swap in swaps.clusters]
                                        for unit, swaps in self.swaps.items()}
        if self.wave_file:
            summary["waves"] = self.wave_file
        return summary


def _rows(summary):
    show = (("bytes up / down", f"{summary['bytes_up']} / {summary['bytes_down']}"),
            *((f"new program, unit {unit} cluster {swap['cluster']}",
               f"no events from {swap['masked']}, served again at {swap['back']}")
              for unit, swaps in summary.get("program_swaps", {}).items() for swap in swaps),
            ("kill cycle", summary.get("kill_cycle", "not killed")),
            ("takeover, cycles from the kill to the new active", summary.get("takeover_cycles", "none")),
            ("first frame of the new active, cycles from the kill", summary.get("first_frame_cycles", "none")),
            ("dead unit switched on / pair protected again, cycle",
             f"{summary.get('revived_cycle', 'not')} / {summary.get('protected_cycle', 'not')}"),
            ("resynchronization, cycles", summary.get("resync_cycles", "none")),
            ("second kill, of the other unit, cycle", summary.get("second_kill_cycle", "not killed")),
            ("second takeover, cycles from the kill", summary.get("second_takeover_cycles", "none")),
            ("longest stall seen by an endpoint", f"{summary.get('longest_stall_ms', '?')} ms"
             + (" of simulated time" if summary["endpoints"] == "python" else "")),
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
            why = result.get("error", "wrong bytes")
            console.print(f"[red]{result['role']} connection {result['connection']}: {why}")
    for violation in report.violations[:10]:
        console.print(f"[red]{violation}")
    console.print(f"captures, report.html, trace.txt and summary.json are in {out}")
