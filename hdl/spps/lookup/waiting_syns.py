"""SYNs that wait for a connection to end."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.lookup import Replay, Syn

__all__ = ["SYNS", "WaitingSyns"]

#: SYNs that can wait: connections that are ending at a time, each for some hundred clocks
SYNS = 4


class WaitingSyns(wiring.Component):
    """FIFO of SYNs that are looked up again: when they come, unless they say `wait`, and when a connection is freed.

    Members
    -------
    i_replay : In(stream of Replay, always ready)
        SYNs that a core sends back.
    i_syn : In(stream of Syn)
        SYNs for which there is no connection yet; not ready while the FIFO is full or `i_replay` is taken.
    o : Out(stream of Syn)
        SYNs to be looked up now.
    freed : In(1)
        A connection has been freed: each SYN here is tried once more.
    flush : In(1)
        No SYN waits any longer: the unit is standby.
    level : Out(range(SYNS + 1)), SYNs
        How many wait.
    lost : Out(1)
        Pulse: a core sent one back while the FIFO was full.

    Timing
    ------
    3 clocks from input to output. One SYN per 3 clocks.

    Drop
    ----
    lost : the SYN; its sender repeats it.

    Reset
    -----
    Empty.
    """

    def __init__(self):
        super().__init__({
            "i_replay": In(stream.Signature(Replay, always_ready=True)),
            "i_syn": In(stream.Signature(Syn)),
            "o": Out(stream.Signature(Syn)),
            "freed": In(1), "flush": In(1),
            "level": Out(range(SYNS + 1)), "lost": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.syns = syns = memory.Memory(shape=Syn, depth=SYNS, init=[])
        write, read = syns.write_port(), syns.read_port(domain="sync")
        first, tries = Signal(range(SYNS)), Signal(range(SYNS + 1))
        settled = Signal(2)         # the memory shows what it holds
        space, push, pop = Signal(), Signal(), Signal()
        m.d.comb += [
            space.eq(self.level != SYNS),
            self.i_syn.ready.eq(space & ~self.i_replay.valid),
            push.eq((self.i_replay.valid & space) | (self.i_syn.valid & self.i_syn.ready)),
            pop.eq(self.o.valid & self.o.ready),
            write.addr.eq((first + self.level)[:len(first)]), write.en.eq(push),
            write.data.eq(Mux(self.i_replay.valid, self.i_replay.payload.syn, self.i_syn.payload)),
            read.addr.eq(first), read.en.eq(1), self.o.payload.eq(read.data),
            self.o.valid.eq((self.level != 0) & ((tries != 0) | self.flush) & (settled == 0)),
        ]
        m.d.sync += [
            self.lost.eq(self.i_replay.valid & ~space),
            self.level.eq(self.level + push - pop), first.eq(first + pop),
            settled.eq(Mux(push | pop, 2, Mux(settled != 0, settled - 1, 0))),
        ]
        with m.If(self.freed | (self.i_replay.valid & space & ~self.i_replay.payload.wait)):
            m.d.sync += tries.eq(self.level + push - pop)
        with m.Elif(pop & (tries != 0)):
            m.d.sync += tries.eq(tries - 1)
        return m
