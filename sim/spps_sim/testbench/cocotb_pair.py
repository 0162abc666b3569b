"""A pair under cocotb as a `backend.Backend`: frames in and out.

Everything written for the native library (Simulation, SimulatedNetwork, Trial, the Python peers) runs unchanged under
any simulator that cocotb drives. That code is plain, not `async`: call it in `cocotb.task.bridge`. Between frames no
Python runs: sources and sinks wake for each word of a frame, the caller at the time it asked for.
"""
from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.task import resume
from cocotb.triggers import Event, First, ReadOnly, RisingEdge, Timer, ValueChange
from cocotb.utils import get_sim_time

from spps.failover import LinkControl
from spps.layouts.packet import packet_layout
from spps.layouts.register import RegisterRequest

from ..backend.interface import STATUS_WORDS, FrameKind, Mark, RawFrame, Stop
from .bus.packet import packet_words
from .bus.stream import pack, unpack

__all__ = ["CocotbPair"]

PERIOD_NS = 10
#: sources of frames: signals, kind, what they stop
TAPS = (("o", FrameKind.OUT, Stop.OUT), ("tap_sync_0", FrameKind.SYNC0, Stop.SYNC),
        ("tap_sync_1", FrameKind.SYNC1, Stop.SYNC))


class CocotbPair:
    """The pair behind `dut`: await start(), then call the methods of Backend in a bridge thread.

    Cycles are those of the native library: the number of the cycle in which a word was transferred, 0 the first after
    reset. Fails on X in valid, payload or status. Waveforms come from the runner, not from here.
    """

    MMC_LIMIT = 10_000

    def __init__(self, dut, width):
        self.dut, self.width = dut, width
        self._layout = packet_layout(width)
        self._frames, self._marks = deque(), []
        self._input = deque()
        self._status = {}
        self._stop, self._reason = Stop.NONE, Stop.NONE
        self._wake, self._offered = Event(), Event()
        self._origin = 0.0

    async def start(self):
        """Start the clock, reset the pair, start the drivers."""
        dut = self.dut
        self._edge = RisingEdge(dut.clk)
        for name in ("i__valid", "i__payload", "kill", "freeze", "detector", "appoint", "power_up",
                     "link_0", "link_1", *(f"i_mmc_{n}__{f}" for n in (0, 1) for f in ("valid", "payload"))):
            getattr(dut, name).value = 0
        for name in ("o", "o_mmc_0", "o_mmc_1"):
            getattr(dut, f"{name}__ready").value = 1
        dut.rst.value = 1
        Clock(dut.clk, PERIOD_NS, unit="ns").start()
        for _ in range(8):
            await self._edge
        dut.rst.value = 0
        self._origin = get_sim_time("ns")
        await ReadOnly()
        self._status = {name: self._sample(name) for name in STATUS_WORDS}
        for name, kind, stop in TAPS:
            cocotb.start_soon(self._collect(name, kind, stop))
        for name in STATUS_WORDS:
            cocotb.start_soon(self._watch(name))
        cocotb.start_soon(self._feed())
        await self._edge

    # what happens inside simulated time ------------------------------------------------------
    @property
    def cycle(self):
        """Cycles since reset."""
        return int(get_sim_time("ns") - self._origin) // PERIOD_NS

    def _sample(self, name):
        value = getattr(self.dut, name).value
        assert value.is_resolvable, f"{name} is {value} in cycle {self.cycle}"
        return int(value)

    def _happened(self, stop):
        self._reason |= stop
        if stop & self._stop:
            self._wake.set()

    async def _collect(self, name, kind, stop):
        """Collect the frames of a stream that is always ready."""
        valid = getattr(self.dut, f"{name}__valid")
        rising, words, size = RisingEdge(valid), bytearray(), self.width // 8
        while True:
            await rising
            await ReadOnly()
            while self._sample(f"{name}__valid"):
                word = unpack(self._layout, self._sample(f"{name}__payload"))
                if not words:
                    start = self.cycle
                raw = word["data"].to_bytes(size, "big")
                words += raw[:size - word["empty"]] if word["last"] else raw
                if word["last"]:
                    self._frames.append(
                        RawFrame(kind, word["port"], start, self.cycle, bytes(words), bool(word["err"])))
                    words.clear()
                    self._happened(stop)
                await self._edge
                await ReadOnly()

    async def _feed(self):
        """Offer the queued frames at `i`, word by word."""
        dut = self.dut
        while True:
            if not self._input:
                self._offered.clear()
                await self._offered.wait()
            port, data, err = self._input[0]
            cycles = []
            for word in packet_words(data, self.width, port=port, err=err):
                dut.i__payload.value = word
                dut.i__valid.value = 1
                taken = 0
                while not taken:
                    await ReadOnly()
                    taken, now = self._sample("i__ready"), self.cycle
                    await self._edge
                cycles.append(now)
            dut.i__valid.value = 0
            self._input.popleft()
            self._frames.append(RawFrame(FrameKind.IN, port, cycles[0], cycles[-1], data, err))
            self._happened(Stop.IN)

    async def _watch(self, name):
        """Note the changes of one status word."""
        change = ValueChange(getattr(self.dut, name))
        while True:
            await change
            await ReadOnly()
            value = self._sample(name)
            if value != self._status[name]:
                self._status[name] = value
                self._marks.append(Mark(self.cycle, name, value))
                if name == "active":
                    self._happened(Stop.ROLE)

    async def _step(self, cycles, stop):
        """Run; return after a rising edge, so that the caller may drive."""
        if self._input:
            self._offered.set()
        self._stop, self._reason = stop, Stop.NONE
        self._wake.clear()
        if cycles > 1:
            await First(Timer((cycles - 1) * PERIOD_NS + PERIOD_NS // 2, "ns"), self._wake.wait())
        await self._edge
        return self._reason

    async def _register(self, unit, address, data):
        dut, name = self.dut, f"mmc_{unit}"
        request = {"address": address, "data": data or 0, "write": data is not None}
        valid, ready = getattr(dut, f"i_{name}__valid"), f"i_{name}__ready"
        getattr(dut, f"i_{name}__payload").value = pack(RegisterRequest, request)
        valid.value = 1
        taken = False
        for _ in range(self.MMC_LIMIT):
            await ReadOnly()
            free, answered = self._sample(ready), self._sample(f"o_{name}__valid")
            answer = self._sample(f"o_{name}__payload") if answered else 0
            await self._edge
            if taken and (free if data is not None else answered):
                return answer
            if not taken and free:
                taken, valid.value = True, 0
        valid.value = 0
        raise RuntimeError(f"unit {unit}: no answer to an access of register {address:#06x} in {self.MMC_LIMIT} cycles")

    async def _controls(self, **values):
        for name, value in values.items():
            getattr(self.dut, name).value = value

    # Backend ---------------------------------------------------------------------------------
    def step(self, cycles, stop=Stop.NONE):
        """Run at most `cycles`; return what happened, early when something in `stop` did."""
        return resume(self._step)(cycles, stop) if cycles > 0 else Stop.NONE

    def push_frame(self, port, data, err=False):
        """Queue a frame at the input."""
        self._input.append((port, bytes(data), err))

    def pending(self):
        """Return how many frames at the input are not yet taken whole."""
        return len(self._input)

    def pop_frame(self):
        """Return the oldest complete frame of any kind, or None."""
        return self._frames.popleft() if self._frames else None

    def pop_marks(self):
        """Return the changes of status words since the last call."""
        marks, self._marks = self._marks, []
        return marks

    def watch(self, on=True):
        """Raise RuntimeError: the activity of cores comes from the native library."""
        raise RuntimeError("no activity under cocotb: take it from the native library")

    def pop_activity(self):
        """Return nothing."""
        return []

    def register(self, unit, address, data=None):
        """Read a register of `unit`, or write `data` to it; takes simulated cycles."""
        return resume(self._register)(unit, address, data)

    def controls(self, kill, freeze, detector, appoint=0, power_up=0):
        """Set the two-bit control inputs, bit n for unit n."""
        resume(self._controls)(kill=kill, freeze=freeze, detector=detector, appoint=appoint, power_up=power_up)

    def link(self, unit, faults):
        """Set what the sync link does to the frames of `unit`, a SyncFaults."""
        bits = LinkControl.const(faults.control()).as_value().value
        resume(self._controls)(**{f"link_{unit}": bits})

    def status(self):
        """Return the status words by name."""
        return dict(self._status)

    def trace_open(self, path):
        """Raise RuntimeError: waveforms come from the runner."""
        raise RuntimeError("no trace under cocotb: run the bench with SPPS_WAVES=1")

    def trace_close(self):
        """Do nothing."""
        pass
