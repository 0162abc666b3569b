"""Data memory of a protocol core (DPMEM): workspaces, event slots and scratch words."""
from amaranth.hdl import Module, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..ucode.isa import memory_map

__all__ = ["DataMemory", "map_of"]


def map_of(params):
    """Where workspaces, event slots and scratch words lie."""
    return memory_map(params.workspaces, params.event_slots)


class DataMemory(wiring.Component):
    """Two banks of 32 bits (even and odd words), each true dual port: a port for the core, a port for the cluster.

    Source: patent §VI, F3 (dual-port memories 310, 312).
    Parameters: params.workspaces, params.event_slots.
    Members: core side: address (word), read, write, write_data, read_data (64 bits: the pair that holds the word).
    Cluster side: beat_address, beat_read, beat_write, beat_write_data, beat_read_data (64 bits, the word with the lower
    address in bits 31:0).
    Latency: read data one clock after read; held until the next read of that side.
    Throughput: one access per side and clock. A side reads or writes in a clock, not both.
    Reset: contents are not reset. Reading a word while the other side writes it gives an undefined value: the event queue
    and the loading flags keep the sides apart.
    """

    def __init__(self, params):
        self._words = map_of(params).size
        width = (self._words - 1).bit_length()
        super().__init__({
            "address": In(width), "read": In(1), "write": In(1), "write_data": In(32), "read_data": Out(64),
            "beat_address": In(width - 1), "beat_read": In(1), "beat_write": In(1), "beat_write_data": In(64),
            "beat_read_data": Out(64),
        })

    def elaborate(self, platform):
        m = Module()
        for bank, name in enumerate(("even", "odd")):
            bits = slice(32 * bank, 32 * bank + 32)
            store = memory.Memory(shape=unsigned(32), depth=self._words // 2, init=[], attrs={"no_rw_check": 1})
            m.submodules[name] = store
            core_write, core_read = store.write_port(), store.read_port()
            beat_write, beat_read = store.write_port(), store.read_port()
            m.d.comb += [
                core_write.addr.eq(self.address[1:]), core_read.addr.eq(self.address[1:]),
                core_write.en.eq(self.write & (self.address[0] == bank)), core_write.data.eq(self.write_data),
                core_read.en.eq(self.read), self.read_data[bits].eq(core_read.data),
                beat_write.addr.eq(self.beat_address), beat_read.addr.eq(self.beat_address),
                beat_write.en.eq(self.beat_write), beat_write.data.eq(self.beat_write_data[bits]),
                beat_read.en.eq(self.beat_read), self.beat_read_data[bits].eq(beat_read.data),
            ]
        return m
