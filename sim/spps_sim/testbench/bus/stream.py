"""cocotb drivers and monitors of `amaranth.lib.stream` interfaces, with idle gaps and backpressure.

Every transfer is one payload as an integer or, with a layout, a dict of fields. Random gaps come from
`random.Random` objects that the bench seeds, so a run repeats from one seed.
"""
import random
from collections import deque
from typing import Any

from amaranth.lib import data
from cocotb.triggers import Event, ReadOnly, RisingEdge, ValueChange

__all__ = ["StreamSource", "StreamSink", "pack", "unpack", "start_clock", "reset"]


def _layout(shape) -> Any:
    return data.Layout.cast(shape)


def pack(layout, values):
    """Return a dict of fields as an integer; fields may be dicts and lists. Raises ValueError for too large a value."""
    layout = _layout(layout)
    word = 0
    for key, value in values.items():
        field = layout[key]
        try:
            inner = _layout(field.shape)
        except TypeError:
            inner = None
        if inner is not None and isinstance(value, (dict, list, tuple)):
            value = pack(inner, value if isinstance(value, dict) else dict(enumerate(value)))
        value = int(value)
        if value >> field.width or value < 0:
            raise ValueError(f"{key}={value}: does not fit {field.width} bits")
        word |= value << field.offset
    return word


def unpack(layout, word):
    """Return the fields of an integer as a dict, one level deep."""
    layout = _layout(layout)
    return {key: word >> field.offset & (1 << field.width) - 1 for key, field in layout}


def _handle(dut, name):
    return getattr(dut, name, None)


class StreamSource:
    """Drives `<name>__payload`, `__valid` and reads `__ready`.

    Parameters
    ----------
    layout : Layout, optional
        Of payloads that are given as dicts.
    idle : float
        Probability of a clock without valid before a transfer.
    rng : random.Random, optional
        Source of the gaps.
    """

    def __init__(self, dut, name, clock, *, layout=None, idle=0.0, rng=None):
        self.payload, self.valid = getattr(dut, f"{name}__payload"), getattr(dut, f"{name}__valid")
        self.ready = _handle(dut, f"{name}__ready")
        self.clock, self.layout, self.idle = clock, layout, idle
        self.rng = rng or random.Random(1)
        self.queue = deque()
        self.busy = False
        self.sent = 0
        self._wake = Event()
        self.valid.value = 0
        self.payload.value = 0
        import cocotb
        cocotb.start_soon(self._run())

    def send(self, value):
        """Queue one payload: an integer, or a dict with a layout."""
        self.queue.append(pack(self.layout, value) if isinstance(value, dict) else int(value))
        self._wake.set()

    def empty(self):
        """Return whether everything queued was transferred."""
        return not self.queue and not self.busy

    async def _run(self):
        edge = RisingEdge(self.clock)
        while True:
            if not self.queue:
                self._wake.clear()
                await self._wake.wait()
                await edge
            while self.rng.random() < self.idle:
                await edge
            self.busy = True
            self.payload.value = self.queue.popleft()
            self.valid.value = 1
            await ReadOnly()
            while self.ready is not None and not int(self.ready.value):
                await ValueChange(self.ready)
                await ReadOnly()
            await edge
            self.sent += 1
            self.valid.value = 0
            self.busy = False


class StreamSink:
    """Takes `<name>__payload`, `__valid` into `received`, drives `__ready`.

    Fails on X in valid and payload, when the payload changes while a transfer waits, and when valid falls then.

    Parameters
    ----------
    layout : Layout, optional
        Payloads are then dicts of fields, else integers.
    pause : float
        Probability of a clock without ready.
    rng : random.Random, optional
        Source of the pauses.
    callback : callable, optional
        Called with each payload.
    """

    def __init__(self, dut, name, clock, *, layout=None, pause=0.0, rng=None, callback=None):
        self.payload, self.valid = getattr(dut, f"{name}__payload"), getattr(dut, f"{name}__valid")
        self.ready = _handle(dut, f"{name}__ready")
        self.clock, self.pause, self.callback = clock, pause, callback
        self._fields = None if layout is None else [
            (key, field.offset, (1 << field.width) - 1) for key, field in _layout(layout)]
        self.rng = rng or random.Random(2)
        self.received = deque()
        self.name = name
        if self.ready is not None:
            self.ready.value = 0
        import cocotb
        cocotb.start_soon(self._run())

    async def _run(self):
        edge = RisingEdge(self.clock)
        waiting = None
        while True:
            ready = self.ready is None or self.rng.random() >= self.pause
            if self.ready is not None:
                self.ready.value = int(ready)
            await ReadOnly()
            valid = self.valid.value
            assert valid.is_resolvable, f"{self.name}.valid is {valid}"
            if int(valid):
                assert self.payload.value.is_resolvable, f"{self.name}.payload is {self.payload.value}"
                word = int(self.payload.value)
                assert waiting is None or waiting == word, f"{self.name}.payload changed while waiting"
                waiting = None if ready else word
                if ready:
                    value = word if self._fields is None else {
                        key: word >> offset & mask for key, offset, mask in self._fields}
                    self.received.append(value)
                    if self.callback:
                        self.callback(value)
            else:
                assert waiting is None, f"{self.name}.valid fell before the transfer"
                if not self.pause:      # nothing to do until there is something to take
                    await ValueChange(self.valid)
                    continue
            await edge


def start_clock(dut, period_ns=10):
    """Start `clk`, generated inside the simulator."""
    import cocotb
    from cocotb.clock import Clock
    cocotb.start_soon(Clock(dut.clk, period_ns, unit="ns").start())


async def reset(dut, cycles=4):
    """Hold `rst` for `cycles` clocks."""
    dut.rst.value = 1
    for _ in range(cycles):
        await RisingEdge(dut.clk)
    dut.rst.value = 0
    await RisingEdge(dut.clk)
