"""From outside to the owner: one direction of the IP switch."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature
from ..lib import Counters

__all__ = ["FrameSteer"]


class FrameSteer(wiring.Component):
    """Sends frames from outside to the owner.

    A frame stays with the unit to which its first word went. The rest of it is dropped when that unit dies, and when
    that unit is no longer the owner and takes no word for `patience` clocks; in the second case the unit gets a last
    word with `err` as soon as it takes words again.

    Parameters
    ----------
    width : int
        Bits of a packet word.
    patience : int
        Clocks.

    Members
    -------
    i : In(stream of packet)
        Frames from outside.
    o : Out(stream of packet).array(2)
        Frames to unit 0 and unit 1.
    owner : In(1), unit number
        The unit that gets the next frame.
    dead : In(2)
        Bit n: unit n does not answer.
    hold : In(2)
        Bit n: unit n wants no frame; one that has begun is not stopped.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency 1 clock. Throughput 1 word per clock. `i.ready` is combinational in `o[n].ready`; `i` never waits for a
    dead unit, and between frames for an owner that wants none.

    Drop
    ----
    Frames for a dead unit, and the rest of frames that are given up; counted.

    Reset
    -----
    Between frames.

    Source
    ------
    Patent F10 (IP switch 1024).
    """

    COUNTERS = Counters({
        "dead_frame": "frames from outside dropped, whole or from the middle on, because their unit is dead",
        "cut_in": "frames from outside given up because their unit is no longer the owner and takes no words",
    })

    def __init__(self, width, patience):
        self.patience = patience
        packet = packet_signature(width)
        super().__init__({"i": In(packet), "o": Out(packet).array(2), "owner": In(1), "dead": In(2), "hold": In(2),
                          "count": Out(self.COUNTERS.layout)})

    def elaborate(self, platform):
        m = Module()
        open_, way, drop = Signal(), Signal(), Signal()
        target, step, dropping, stuck = Signal(), Signal(2), Signal(), Signal()
        owes = Signal(2)        # this unit's frame has no end yet
        wait = Signal(range(self.patience + 1))
        take = Signal()
        m.d.comb += [
            target.eq(Mux(open_, way, self.owner)),
            dropping.eq(open_ & drop | self.dead.bit_select(target, 1)),
            stuck.eq(open_ & ~dropping & (self.owner != way) & ~step.bit_select(way, 1)),
            self.i.ready.eq(dropping | (step & ~owes & ~Mux(open_, 0, self.hold)).bit_select(target, 1)),
            take.eq(self.i.valid & self.i.ready),
        ]
        m.d.sync += [self.count.eq(0), wait.eq(0)]
        for unit in (0, 1):
            o = self.o[unit]
            m.d.comb += step[unit].eq(~o.valid | o.ready)
            with m.If(step[unit]):
                m.d.sync += o.valid.eq(0)
                with m.If(owes[unit]):
                    m.d.sync += [o.valid.eq(1), o.payload.last.eq(1), o.payload.err.eq(1), o.payload.empty.eq(0),
                                 owes[unit].eq(0)]
                with m.Elif(take & ~dropping & (target == unit)):
                    m.d.sync += [o.valid.eq(1), o.payload.eq(self.i.payload)]
            with m.If(self.dead[unit]):
                m.d.sync += [o.valid.eq(0), owes[unit].eq(0)]
        with m.If(take):
            m.d.sync += [open_.eq(~self.i.payload.last), way.eq(target), drop.eq(dropping & ~self.i.payload.last)]
            with m.If(dropping & ~(open_ & drop)):
                m.d.sync += self.count.dead_frame.eq(1)
        with m.If(stuck):
            with m.If(wait == self.patience):
                m.d.sync += [drop.eq(1), self.count.cut_in.eq(1), owes.bit_select(way, 1).eq(1)]
            with m.Else():
                m.d.sync += wait.eq(wait + 1)
        return m
