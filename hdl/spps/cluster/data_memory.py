"""Data memory of a protocol core (DPMEM): workspaces, event slots and scratch words."""
from amaranth.hdl import Module, Mux, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from ..ucode.isa import memory_map

__all__ = ["DataMemory", "map_of"]


def map_of(params):
    """Where workspaces, event slots and scratch words lie."""
    return memory_map(params.workspaces, params.event_slots)


class DataMemory(wiring.Component):
    """Two banks of 32 bits (even and odd words), each with one read port and one write port shared with the cluster.

    The core always comes first; the cluster side takes the clocks in which the core does not use the port. Reason:
    Amaranth's memories with two read and two write ports become flip-flops with Yosys for ECP5 (their collision rule
    "old data" has no block RAM), and a true dual-port DP16KD is only 18 bits wide, so it would cost twice the block RAM.
    Source: patent §VI, F3 (memories 310, 312; "the PPC memory need not be dual-port").
    Parameters: params.workspaces, params.event_slots.
    Members: core side: address (word), uses_read, uses_write (the port is the core's in this clock), read, write,
    write_data, read_data (64 bits: the pair that holds the word). Cluster side: beat_address, beat_read, beat_write,
    beat_write_data, beat_taken (the access happens in this clock), beat_read_data (64 bits, the word with the lower
    address in bits 31:0).
    Latency: read data one clock after the read, held until the next read of either side.
    Throughput: one read and one write per clock. Backpressure: beat_taken low while the core uses the port.
    Reset: contents are not reset: a LOAD fills a workspace, an event its slot, programs write scratch before they read it.
    """

    def __init__(self, params):
        self._words = map_of(params).size
        width = (self._words - 1).bit_length()
        super().__init__({
            "address": In(width), "uses_read": In(1), "uses_write": In(1), "read": In(1), "write": In(1),
            "write_data": In(32), "read_data": Out(64),
            "beat_address": In(width - 1), "beat_read": In(1), "beat_write": In(1), "beat_write_data": In(64),
            "beat_taken": Out(1), "beat_read_data": Out(64),
        })

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.beat_taken.eq(
            (self.beat_read & ~self.uses_read) | (self.beat_write & ~self.uses_write))
        for bank, name in enumerate(("even", "odd")):
            bits = slice(32 * bank, 32 * bank + 32)
            store = memory.Memory(shape=unsigned(32), depth=self._words // 2, init=[], attrs={"no_rw_check": 1})
            m.submodules[name] = store
            write, read = store.write_port(), store.read_port()
            m.d.comb += [
                write.addr.eq(Mux(self.uses_write, self.address[1:], self.beat_address)),
                write.en.eq(Mux(self.uses_write, self.write & (self.address[0] == bank), self.beat_write)),
                write.data.eq(Mux(self.uses_write, self.write_data, self.beat_write_data[bits])),
                read.addr.eq(Mux(self.uses_read, self.address[1:], self.beat_address)),
                read.en.eq(Mux(self.uses_read, self.read, self.beat_read)),
                self.read_data[bits].eq(read.data), self.beat_read_data[bits].eq(read.data),
            ]
        return m
