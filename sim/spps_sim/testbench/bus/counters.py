"""Adds up the pulses of a block's `count` member, as the MMC does."""
from collections import Counter

__all__ = ["CounterMonitor"]


class CounterMonitor:
    """Totals of a block's counters in `total`, by name. Fails on X.

    Parameters
    ----------
    names : iterable of str
        COUNTERS of the block.
    """

    def __init__(self, dut, clock, names):
        import cocotb
        self.signal, self.clock, self.names = dut.count, clock, names
        self.total = Counter({name: 0 for name in names})
        cocotb.start_soon(self._run())

    async def _run(self):
        from cocotb.triggers import ReadOnly, RisingEdge, ValueChange
        edge = RisingEdge(self.clock)
        await edge
        while True:
            await ReadOnly()
            value = int(self.signal.value)
            if not value:
                await ValueChange(self.signal)
                continue
            for bit, name in enumerate(self.names):
                self.total[name] += value >> bit & 1
            await edge
