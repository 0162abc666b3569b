"""cocotbext-axi's RAM on the AXI4 port: stalls on every channel, and errors on request."""
import random

from cocotbext.axi import AxiBus, AxiRam

__all__ = ["attach"]


def _stalls(rng, share):
    while True:
        yield rng.random() < share


class FailingRam(AxiRam):
    """refuse_writes, refuse_reads: bursts still to be answered with SLVERR."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.refuse_writes = self.refuse_reads = 0
        write, read = self.write_if._write, self.read_if._read

        async def failing_write(address, data):
            if self.refuse_writes:
                self.refuse_writes -= 1
                raise OSError("refused")
            await write(address, data)

        async def failing_read(address, length):
            if self.refuse_reads:
                self.refuse_reads -= 1
                raise OSError("refused")
            return await read(address, length)

        self.write_if._write, self.read_if._read = failing_write, failing_read


def attach(dut, seed, stall=0.3):
    ram = FailingRam(AxiBus.from_prefix(dut, "axi_"), dut.clk, dut.rst, size=1 << 20)
    rng = random.Random(seed)
    write, read = ram.write_if, ram.read_if
    for channel in (write.aw_channel, write.w_channel, write.b_channel, read.ar_channel, read.r_channel):
        channel.set_pause_generator(_stalls(random.Random(rng.random()), stall))
    return ram
