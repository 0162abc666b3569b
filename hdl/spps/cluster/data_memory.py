"""Data memory of a protocol core (DPMEM): workspaces, event slots and scratch words."""
from amaranth.hdl import Module, Mux, unsigned
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In

from .ports import BeatPort, CoreMemoryPort, map_of

__all__ = ["DataMemory"]


class DataMemory(wiring.Component):
    """Two banks of 32 bits (even and odd words), each with one read port and one write port that core and DMA share.

    The core always comes first; the DMA takes the clocks in which the core does not use the port. Amaranth memories
    with two read and two write ports become flip-flops with Yosys for ECP5 (their collision rule "old data" has no
    block RAM), and a true dual-port DP16KD is only 18 bits wide, which would cost twice the block RAM.

    Parameters
    ----------
    params : SppsParams
        workspaces, event_slots.

    Members
    -------
    core : In(CoreMemoryPort)
        Words.
    beats : In(BeatPort)
        Beats of 64 bits.

    Timing
    ------
    Read data come one clock after the read and stay until the next read of either side. Throughput: one read and one
    write per clock. `beats.taken` is low while the core uses the port.

    Reset
    -----
    Contents are not reset: a LOAD fills a workspace, an event its slot, and programs write scratch words before they
    read them.

    Source
    ------
    Patent §VI, F3 (memories 310, 312; "the PPC memory need not be dual-port").
    """

    def __init__(self, params):
        self._words = map_of(params).size
        super().__init__({"core": In(CoreMemoryPort(params)), "beats": In(BeatPort(params))})

    def elaborate(self, platform):
        m = Module()
        core, beats = self.core, self.beats
        m.d.comb += beats.taken.eq((beats.read & ~core.uses_read) | (beats.write & ~core.uses_write))
        for bank, name in enumerate(("even", "odd")):
            bits = slice(32 * bank, 32 * bank + 32)
            store = memory.Memory(shape=unsigned(32), depth=self._words // 2, init=[], attrs={"no_rw_check": 1})
            m.submodules[name] = store
            write, read = store.write_port(), store.read_port()
            m.d.comb += [
                write.addr.eq(Mux(core.uses_write, core.address[1:], beats.address)),
                write.en.eq(Mux(core.uses_write, core.write & (core.address[0] == bank), beats.write)),
                write.data.eq(Mux(core.uses_write, core.write_data, beats.write_data[bits])),
                read.addr.eq(Mux(core.uses_read, core.address[1:], beats.address)),
                read.en.eq(Mux(core.uses_read, core.read, beats.read)),
                core.read_data[bits].eq(read.data), beats.read_data[bits].eq(read.data),
            ]
        return m
