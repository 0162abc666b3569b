"""Pages in block RAM."""
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In

from .storage import read_signature, write_signature

__all__ = ["OnchipMemory"]


class OnchipMemory(wiring.Component):
    """Keeps pages in block RAM: one memory per byte of a row, so that strobes need no byte enables.

    A row that is read while it is written is undefined (`no_rw_check`): its page has just been freed, so the reader
    answers with `err`.

    Parameters
    ----------
    geometry : Geometry
        Rows and bytes of a row.

    Members
    -------
    w : In(write_signature)
        Bursts to be written; `error` is never set.
    r : In(read_signature)
        Bursts to be read; `err` is never set.

    Timing
    ------
    A read answers 2 clocks after its burst; a burst is `written` 2 clocks after its last row. Throughput 1 row written
    and 1 row read per clock, across bursts too. `r.answer` stops reads.

    Drop
    ----
    None.

    Reset
    -----
    Idle; contents are not reset.

    Source
    ------
    Patent §IV (socket memory 236).
    """

    def __init__(self, geometry):
        self.geometry = geometry
        super().__init__({"w": In(write_signature(geometry)), "r": In(read_signature(geometry))})

    def elaborate(self, platform):
        m = Module()
        g, w, r = self.geometry, self.w, self.r
        write, w_busy, w_take, w_last = Signal(g.burst_layout()), Signal(), Signal(), Signal()
        read, r_busy, r_take, r_last = Signal(g.burst_layout()), Signal(), Signal(), Signal()
        held = Signal()         # a row is in the output registers
        for burst, port, busy, take, last in ((write, w.burst, w_busy, w_take, w_last),
                                              (read, r.burst, r_busy, r_take, r_last)):
            m.d.comb += [last.eq(burst.rows == 1), port.ready.eq(~busy | (take & last))]
            with m.If(take):
                m.d.sync += [burst.row.eq(burst.row + 1), burst.rows.eq(burst.rows - 1), busy.eq(~last)]
            with m.If(port.valid & port.ready):
                m.d.sync += [burst.eq(port.payload), busy.eq(1)]
        m.d.comb += [
            w.row.ready.eq(w_busy), w_take.eq(w_busy & w.row.valid),
            r_take.eq(r_busy & (~held | r.answer.ready)), r.answer.valid.eq(held),
        ]
        with m.If(r_take | r.answer.ready):
            m.d.sync += held.eq(r_busy)
        stored = Signal()
        m.d.sync += [stored.eq(w_take & w_last), w.written.eq(stored)]
        answer = []
        for lane in range(g.lanes):
            m.submodules[f"lane_{lane}"] = memory = Memory(shape=8, depth=g.rows, init=[], attrs={"no_rw_check": 1})
            port, out = memory.write_port(), memory.read_port()
            byte = w.row.p.data[8 * (g.lanes - 1 - lane):8 * (g.lanes - lane)]
            m.d.sync += [port.en.eq(w_take & w.row.p.strobe[lane]), port.addr.eq(write.row), port.data.eq(byte)]
            m.d.comb += [out.en.eq(r_take), out.addr.eq(read.row)]
            answer.insert(0, out.data)
        m.d.comb += r.answer.p.data.eq(Cat(*answer))
        return m
