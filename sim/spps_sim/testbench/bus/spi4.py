"""cocotb-bus driver and monitor of a SPI-4 link: groups of W/16 words with control flags per clock."""
import random
from typing import Any

from cocotb.triggers import ReadOnly, RisingEdge
from cocotb_bus.drivers import BusDriver
from cocotb_bus.monitors import BusMonitor

from ...model.spi4 import Transmitter

__all__ = ["Spi4Driver", "Spi4Monitor"]

#: Amaranth separates interface and member with two underscores; Verilog names have case
_NAMES = {"bus_separator": "__", "case_insensitive": False}


class Spi4Driver(BusDriver):
    """Drives `<name>__payload` and `__valid`: bursts from send_burst(), idle words between them.

    Parameters
    ----------
    width : int
        Bits of a word.
    satisfied : callable
        satisfied(port) is asked before a burst starts; True holds it back.
    gaps : float
        Probability of a clock without valid.
    slip : float
        Probability of an extra idle word, which moves the lane at which the next burst starts.
    rng : random.Random, optional
        Source of gaps and slips.
    """

    _signals = ["payload", "valid"]
    bus: Any
    clock: Any

    def __init__(self, entity, name, clock, *, width, satisfied=lambda port: False, gaps=0.0, slip=0.05, rng=None):
        super().__init__(entity, name, clock, **_NAMES)
        self.lanes = width // 16
        self.satisfied, self.gaps, self.slip = satisfied, gaps, slip
        self.rng = rng or random.Random(1)
        self.transmitter = Transmitter()
        self.bus.valid.value = 0
        self.bus.payload.value = 0
        import cocotb
        self._task = cocotb.start_soon(self._run())

    def send_burst(self, burst):
        """Queue a burst."""
        self.transmitter.queue.append(burst)

    def empty(self):
        """Return whether everything queued is on the wire."""
        return self.transmitter.empty()

    def _word(self):
        slip = self.rng.random() < self.slip
        return self.transmitter.next((lambda port: True) if slip else self.satisfied)

    async def _run(self):
        edge = RisingEdge(self.clock)
        while True:
            await edge
            if self.rng.random() < self.gaps:
                self.bus.valid.value = 0
                continue
            payload = 0
            for lane in range(self.lanes):
                word, control = self._word()
                payload |= word << 16 * lane | control << 16 * self.lanes + lane
            self.bus.payload.value = payload
            self.bus.valid.value = 1


class Spi4Monitor(BusMonitor):
    """Passes each word of `<name>` as (word, control flag) to the callback, in wire order; fails on X."""

    _signals = ["payload", "valid"]
    bus: Any
    clock: Any

    def __init__(self, entity, name, clock, *, width, callback=None):
        self.lanes = width // 16
        super().__init__(entity, name, clock, callback=callback, **_NAMES)

    async def _monitor_recv(self):
        edge = RisingEdge(self.clock)
        while True:
            await edge
            await ReadOnly()
            assert self.bus.valid.value.is_resolvable, "valid is X"
            if not int(self.bus.valid.value):
                continue
            assert self.bus.payload.value.is_resolvable, f"payload is {self.bus.payload.value}"
            payload = int(self.bus.payload.value)
            for lane in range(self.lanes):
                self._recv((payload >> 16 * lane & 0xFFFF, payload >> 16 * self.lanes + lane & 1))
