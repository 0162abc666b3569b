"""The two directions of the IP switch."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature

__all__ = ["FrameSteer", "FrameMerge", "PATIENCE"]

PATIENCE = 64       # clocks without a transfer after which a former owner's open frame is given up


class FrameSteer(wiring.Component):
    """From outside to the owner.

    A frame stays with the unit it began with. When that unit dies, the rest is dropped; when it has lost the ownership
    and takes nothing for `PATIENCE` clocks, too, and it gets an `err` word as soon as it takes words again.
    Parameters: width. Members: i; o[2]; owner; dead.
    Latency: 1 clock. Throughput: one word per clock. Backpressure: `i.ready` combinational in `o[n].ready`.
    Drop: frames to a dead unit (dead_frame), frames given up (cut_in). Reset: between frames.
    """

    COUNTERS = ("dead_frame", "cut_in")

    def __init__(self, width):
        packet = packet_signature(width)
        super().__init__({"i": In(packet), "o": Out(packet).array(2), "owner": In(1), "dead": In(2),
                          "count": Out(len(self.COUNTERS))})

    def elaborate(self, platform):
        m = Module()
        open_, way, drop = Signal(), Signal(), Signal()
        target, step, dropping, stuck = Signal(), Signal(2), Signal(), Signal()
        owes = Signal(2)        # this unit's frame has no end yet
        wait = Signal(range(PATIENCE + 1))
        take = Signal()
        m.d.comb += [
            target.eq(Mux(open_, way, self.owner)),
            dropping.eq(open_ & drop | self.dead.bit_select(target, 1)),
            stuck.eq(open_ & ~dropping & (self.owner != way) & ~step.bit_select(way, 1)),
            self.i.ready.eq(dropping | (step & ~owes).bit_select(target, 1)),
            take.eq(self.i.valid & self.i.ready),
        ]
        m.d.sync += [self.count.eq(0), wait.eq(0)]
        for unit in (0, 1):
            o = self.o[unit]
            m.d.comb += step[unit].eq(~o.valid | o.ready)
            with m.If(step[unit]):
                m.d.sync += o.valid.eq(0)
                with m.If(owes[unit]):
                    m.d.sync += [o.valid.eq(1), o.payload.last.eq(1), o.payload.err.eq(1), o.payload.empty.eq(0), owes[unit].eq(0)]
                with m.Elif(take & ~dropping & (target == unit)):
                    m.d.sync += [o.valid.eq(1), o.payload.eq(self.i.payload)]
            with m.If(self.dead[unit]):
                m.d.sync += [o.valid.eq(0), owes[unit].eq(0)]
        with m.If(take):
            m.d.sync += [open_.eq(~self.i.payload.last), way.eq(target), drop.eq(dropping & ~self.i.payload.last)]
            with m.If(dropping & ~(open_ & drop)):
                m.d.sync += self.count[0].eq(1)
        with m.If(stuck):
            with m.If(wait == PATIENCE):
                m.d.sync += [drop.eq(1), self.count[1].eq(1), owes.bit_select(way, 1).eq(1)]
            with m.Else():
                m.d.sync += wait.eq(wait + 1)
        return m


class FrameMerge(wiring.Component):
    """From the owner to outside; what the other unit sends is discarded.

    Parameters: width. Members: i[2]; o; owner; dead.
    Latency: 1 clock. Throughput: one word per clock. Backpressure: `o` stalls the owner, never the other unit.
    Drop: frames of the unit that is not the owner (stale_frame); a frame given up is closed with `err` (cut_out) and its
    rest discarded. Reset: between frames.
    """

    COUNTERS = ("stale_frame", "cut_out")

    def __init__(self, width):
        packet = packet_signature(width)
        super().__init__({"i": In(packet).array(2), "o": Out(packet), "owner": In(1), "dead": In(2),
                          "count": Out(len(self.COUNTERS))})

    def elaborate(self, platform):
        m = Module()
        open_, way, cut = Signal(), Signal(), Signal()
        discard = Signal(2)     # the rest of this unit's frame is not wanted
        selected, valid, stale = Signal(2), Signal(2), Signal(2)
        silent = Signal(range(PATIENCE + 1))
        step = Signal()
        m.d.comb += [
            step.eq(~self.o.valid | self.o.ready),
            cut.eq(open_ & (self.dead.bit_select(way, 1) | (silent == PATIENCE))),
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
                    m.d.sync += self.count[0].eq(1)
            with m.If(selected[unit] & valid[unit] & step & ~cut):
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(i.payload), open_.eq(~i.payload.last), way.eq(unit)]
        with m.If(open_ & (self.owner != way) & ~valid.bit_select(way, 1)):
            m.d.sync += silent.eq(Mux(silent == PATIENCE, silent, silent + 1))
        with m.If(cut & step):
            m.d.sync += [self.o.valid.eq(1), self.o.payload.last.eq(1), self.o.payload.err.eq(1), self.o.payload.empty.eq(0),
                         open_.eq(0), self.count[1].eq(1), discard.bit_select(way, 1).eq(1)]
        for unit in (0, 1):
            with m.If(self.dead[unit]):
                m.d.sync += discard[unit].eq(0)
        return m
