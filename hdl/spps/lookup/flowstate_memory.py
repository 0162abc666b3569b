"""Where flowstates are while no core works on them."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.dma import FlowstateBeat, FlowstateWord, FlowstateWrite
from ..layouts.flowstate import FLOWSTATE_WORDS
from ..layouts.message import BEAT
from ..lib.counters import Counters

__all__ = ["FlowstateMemory", "FLOWSTATE_BEATS"]

FLOWSTATE_BEATS = FLOWSTATE_WORDS * 32 // BEAT


class FlowstateMemory(wiring.Component):
    """One flowstate per connection in simple dual-port block RAM; a read streams the whole flowstate.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.

    Members
    -------
    i_read : In(stream of 16 bits)
        Connection to read.
    o_data : Out(stream of FlowstateBeat)
        `FLOWSTATE_BEATS` beats per read, `last` on the last one. A connection that does not exist reads as zeros.
    i_write : In(stream of FlowstateWrite)
        Beats to write.
    i_window : In(stream of FlowstateWord)
        A word that the host asks for.
    o_window : Out(stream of 32 bits), always ready
        That word; 0 for a connection that does not exist.
    count : Out(COUNTERS.layout)
        Pulses.

    Timing
    ------
    Latency 2 clocks to the first beat. A read takes `FLOWSTATE_BEATS` + 1 clocks, and one write per clock is done at
    the same time. `i_read` waits for the read before; `i_write` never waits. A window request waits for a clock
    without a beat read and without a write; its word follows 1 clock later. The value of a beat that is read in the
    clock in which it is written is not defined; the director's rule 3 excludes it.

    Drop
    ----
    bad_write : the write has no effect.

    Reset
    -----
    Contents are kept, and undefined at power-up. For a new connection the DMA writes zeros (CLEAR) before anything is
    read.

    Source
    ------
    Patent §III.B, flowstate memory 214.
    """

    COUNTERS = Counters({
        "bad_read": "reads of a connection that does not exist, answered with zeros",
        "bad_write": "writes for a connection that does not exist, ignored",
    })

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i_read": In(stream.Signature(unsigned(16))),
            "o_data": Out(stream.Signature(FlowstateBeat)),
            "i_write": In(stream.Signature(FlowstateWrite)),
            "i_window": In(stream.Signature(FlowstateWord)),
            "o_window": Out(stream.Signature(unsigned(32), always_ready=True)),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.connections
        conn_bits = (n - 1).bit_length()
        m.submodules.store = store = memory.Memory(shape=BEAT, depth=n * FLOWSTATE_BEATS, init=[],
                                                   attrs={"no_rw_check": 1})
        write, read = store.write_port(), store.read_port(domain="sync")

        written = self.i_write.payload
        good_write = Signal()
        m.d.comb += [
            self.i_write.ready.eq(1),
            good_write.eq(written.conn < n),
            write.addr.eq(Cat(written.beat, written.conn[:conn_bits])),
            write.data.eq(written.data),
            write.en.eq(self.i_write.valid & good_write),
        ]

        conn = Signal(conn_bits)
        good = Signal()
        beat = Signal(range(FLOWSTATE_BEATS))
        running = Signal()
        out_good, out_last = Signal(), Signal()
        step = Signal()         # the read port's register may be loaded
        asked = self.i_window.payload
        high, exists = Signal(), Signal()       # of the word asked for
        m.d.comb += [
            step.eq(~self.o_data.valid | self.o_data.ready),
            self.i_read.ready.eq(~running),
            read.addr.eq(Mux(running, Cat(beat, conn), Cat(asked.word[1:], asked.conn[:conn_bits]))),
            read.en.eq(step),
            self.o_data.payload.data.eq(read.data & out_good.replicate(BEAT)),
            self.o_data.payload.last.eq(out_last),
        ]
        # the host's word takes the read port in a clock in which no beat does; a word that the other port writes in
        # the same clock reads as undefined
        m.d.comb += [
            self.i_window.ready.eq(~running & step & ~self.i_write.valid),
            self.o_window.payload.eq(read.data.word_select(high, 32) & exists.replicate(32)),
        ]
        m.d.sync += [
            self.o_window.valid.eq(self.i_window.valid & self.i_window.ready), high.eq(asked.word[0]),
            exists.eq(asked.conn < n),
        ]
        start = Signal()
        m.d.comb += start.eq(self.i_read.valid & ~running)
        with m.If(start):
            m.d.sync += [
                running.eq(1), beat.eq(0),
                conn.eq(self.i_read.payload[:conn_bits]), good.eq(self.i_read.payload < n),
            ]
        with m.If(step):
            m.d.sync += [self.o_data.valid.eq(running), out_good.eq(good), out_last.eq(beat == FLOWSTATE_BEATS - 1)]
            with m.If(running):
                m.d.sync += beat.eq(beat + 1)
                with m.If(beat == FLOWSTATE_BEATS - 1):
                    m.d.sync += running.eq(0)

        m.d.sync += [
            self.count.bad_read.eq(start & (self.i_read.payload >= n)),
            self.count.bad_write.eq(self.i_write.valid & ~good_write),
        ]
        return m
