"""From the owner to outside: the other direction of the IP switch."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature
from ..lib import Counters

__all__ = ["FrameMerge"]


class FrameMerge(wiring.Component):
    """Sends frames of the owner to outside and drops those of the other unit.

    The open frame of a unit that dies, or that is no longer the owner and sends no word for `patience` clocks, is
    ended with `err`, and the rest of it is dropped.

    Parameters
    ----------
    width : int
        Bits of a packet word.
    patience : int
        Clocks.

    Members
    -------
    i : In(stream of packet).array(2)
        Frames of unit 0 and unit 1.
    o : Out(stream of packet)
        Frames to outside.
    owner : In(1), unit number
        The unit whose frames go on.
    dead : In(2)
        Bit n: unit n does not answer; its words are not taken.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency 1 clock. Throughput 1 word per clock. The owner waits for `o`; the other unit never waits.

    Drop
    ----
    Frames of the unit that is not the owner, and the rest of frames that are ended; counted.

    Reset
    -----
    Between frames.

    Source
    ------
    Patent F10 (IP switch 1024).
    """

    COUNTERS = Counters({
        "stale_frame": "frames dropped because the unit that sends them is not the owner",
        "cut_out": "frames to outside ended with an error because their unit is dead, or no longer the owner and "
                   "silent",
    })

    def __init__(self, width, patience):
        self.patience = patience
        packet = packet_signature(width)
        super().__init__({"i": In(packet).array(2), "o": Out(packet), "owner": In(1), "dead": In(2),
                          "count": Out(self.COUNTERS.layout)})

    def elaborate(self, platform):
        m = Module()
        open_, way, cut = Signal(), Signal(), Signal()
        discard = Signal(2)     # the rest of this unit's frame is not wanted
        selected, valid, stale = Signal(2), Signal(2), Signal(2)
        silent = Signal(range(self.patience + 1))
        step = Signal()
        m.d.comb += [
            step.eq(~self.o.valid | self.o.ready),
            cut.eq(open_ & (self.dead.bit_select(way, 1) | (silent == self.patience))),
        ]
        m.d.sync += [self.count.eq(0), silent.eq(0)]
        with m.If(step):
            m.d.sync += self.o.valid.eq(0)
        for unit in (0, 1):
            i, mine = self.i[unit], self.owner == unit
            m.d.comb += [
                valid[unit].eq(i.valid & ~self.dead[unit]),
                selected[unit].eq(Mux(open_, way == unit, mine & ~discard[unit])),
                stale[unit].eq(~selected[unit] & (~mine | discard[unit])),
                i.ready.eq(Mux(selected[unit], step & ~cut, stale[unit])),
            ]
            with m.If(stale[unit] & valid[unit]):
                m.d.sync += discard[unit].eq(~i.payload.last)
                with m.If(~discard[unit]):
                    m.d.sync += self.count.stale_frame.eq(1)
            with m.If(selected[unit] & valid[unit] & step & ~cut):
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(i.payload), open_.eq(~i.payload.last), way.eq(unit)]
        with m.If(open_ & (self.owner != way) & ~valid.bit_select(way, 1)):
            m.d.sync += silent.eq(Mux(silent == self.patience, silent, silent + 1))
        with m.If(cut & step):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.last.eq(1), self.o.payload.err.eq(1),
                         self.o.payload.empty.eq(0), open_.eq(0), self.count.cut_out.eq(1),
                         discard.bit_select(way, 1).eq(1)]
        for unit in (0, 1):
            with m.If(self.dead[unit]):
                m.d.sync += discard[unit].eq(0)
        return m
