"""A pair without RTL: two Python pipes between port 0 and port 1, of which the master's works.

It forwards frames unchanged and answers nothing itself, so peers, networks, captures and campaigns can be
tested alone: a killed master loses the frames inside, and the other takes over after a while.
"""
import heapq

from .interface import STATUS_WORDS, FrameKind, Mark, RawFrame, Stop

__all__ = ["FakePair"]


class FakePair:
    """Backend. latency: cycles from the last word in to the first word out. takeover_after: cycles without a master."""

    def __init__(self, width=64, latency=200, takeover_after=300):
        if width not in (32, 64, 128):
            raise ValueError(f"width={width}: must be 32, 64 or 128")
        self.width, self.latency, self.takeover_after = width, latency, takeover_after
        self.cycle = 0
        self._input = []            # (port, data, err), oldest first
        self._busy = 0              # cycle from which the input is free
        self._inside = []           # heap of (cycle of the last word out, order, port, data)
        self._out_busy = 0
        self._order = 0
        self._output, self._marks = [], []
        self._controls = (0, 0, 0)
        self._role, self._silent_since = 1, None
        self._registers = [{}, {}]

    def _words(self, data):
        return -(-len(data) * 8 // self.width)

    def step(self, cycles, stop=Stop.NONE):
        """Run at most `cycles`; returns what happened, and early when something named in `stop` did."""
        happened = Stop.NONE
        end = self.cycle + cycles
        while self.cycle < end and not happened & stop:
            happened |= self._advance(end)
        return happened

    def _advance(self, end):
        """Go to the next cycle in which something happens, at most to `end`."""
        times = [end]
        if self._input:
            times.append(max(self._busy, self.cycle) + self._words(self._input[0][1]))
        if self._inside:
            times.append(self._inside[0][0] + 1)
        if self._silent_since is not None:
            times.append(self._silent_since + self.takeover_after)
        self.cycle = max(self.cycle, min(times))
        happened = Stop.NONE
        while self._input and max(self._busy, 0) + self._words(self._input[0][1]) <= self.cycle:
            happened |= self._take()
        while self._inside and self._inside[0][0] < self.cycle:
            cycle, _, port, data = heapq.heappop(self._inside)
            self._output.append(RawFrame(FrameKind.OUT, port, cycle - self._words(data) + 1, cycle, data))
            happened |= Stop.OUT
        if self._silent_since is not None and self.cycle >= self._silent_since + self.takeover_after:
            self._silent_since = None
            self._role ^= 3
            self._marks.append(Mark(self.cycle, "active", self._role))
            happened |= Stop.ROLE
        return happened

    def _take(self):
        port, data, err = self._input.pop(0)
        start, last = self._busy, self._busy + self._words(data) - 1
        self._busy = last + 1
        self._output.append(RawFrame(FrameKind.IN, port, start, last, data, err))
        dead = self._controls[0] | self._controls[1]
        if not self._role & dead and not err and port < 2:
            out = max(last + self.latency, self._out_busy) + self._words(data)
            self._out_busy = out
            self._order += 1
            heapq.heappush(self._inside, (out, self._order, port ^ 1, data))
        return Stop.IN

    def push_frame(self, port, data, err=False):
        """Queue a frame at the input."""
        if not self._input:
            self._busy = max(self._busy, self.cycle)
        self._input.append((port, bytes(data), err))

    def pending(self):
        """Frames queued at the input and not yet taken whole."""
        return len(self._input)

    def pop_frame(self):
        """The oldest complete frame of any kind, or None."""
        return self._output.pop(0) if self._output else None

    def pop_marks(self):
        """Changes of status words since the last call, oldest first."""
        marks, self._marks = self._marks, []
        return marks

    def watch(self, on=True):
        """No cores, hence no activity."""

    def pop_activity(self):
        """Activities noted since the last call, oldest first."""
        return []

    def register(self, unit, address, data=None):
        """Read a register by address, or write `data` to it (returns 0)."""
        self.step(2)
        if data is not None:
            self._registers[unit][address] = data
            return 0
        return self._registers[unit].get(address, 0)

    def controls(self, kill, freeze, detector, appoint=0, power_up=0):
        """Set the two-bit control inputs, bit n for unit n."""
        self._controls = (kill, freeze, detector)
        if self._role & (kill | freeze) and self._silent_since is None:
            self._silent_since = self.cycle
            self._inside.clear()

    def link(self, unit, faults):
        """Refuse faults: this pair sends no sync frames. Raises ValueError."""
        if faults.control()["enable"]:
            raise ValueError("faults of the sync link: the fake pair has no sync link; expected another preset")

    def status(self):
        """The status words by name."""
        return {**dict.fromkeys(STATUS_WORDS, 0), "active": self._role}

    def trace_open(self, path):
        """Start a waveform."""
        raise RuntimeError("no trace: this pair has no RTL")

    def trace_close(self):
        """End the waveform."""
        pass
