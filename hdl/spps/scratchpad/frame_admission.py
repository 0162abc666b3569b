"""Backpressure where the scratchpad would otherwise have to drop."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature

__all__ = ["FrameAdmission"]


class FrameAdmission(wiring.Component):
    """Lets a frame in only while the scratchpad has pages for it and for the one before it.

    Deadlock freedom: pages are given back by events that are already inside, and none of those waits for a frame that is outside.
    Source: patent §II (scratchpad 210); architecture rule "backpressure reaches SPI-4 status".
    Parameters: params: data_width, max_frame, scratch_pages, scratch_page_bytes.
    Members: i, o; free_pages of the scratchpad; count: COUNTERS.
    Latency: none. Throughput: one word per clock. Backpressure: i waits before the first word of a frame while pages are short;
    the counter `held` pulses once per frame that had to. `ready` is combinational from o.ready.
    Drop: none. Reset: between frames.
    """

    COUNTERS = ("held",)

    def __init__(self, params):
        self.params = params
        packet = packet_signature(params.data_width)
        super().__init__({"i": In(packet), "o": Out(packet), "free_pages": In(range(params.scratch_pages + 1)),
                          "count": Out(len(self.COUNTERS))})

    def elaborate(self, platform):
        m = Module()
        p = self.params
        frame_pages = -(-p.max_frame // p.scratch_page_bytes)
        room, inside, held = Signal(), Signal(), Signal()
        # one clock old: hence a second frame's worth, for the one whose payload is still on its way to the pages
        m.d.sync += room.eq(self.free_pages >= 2 * frame_pages)
        go = inside | room
        m.d.comb += [self.o.payload.eq(self.i.payload), self.o.valid.eq(self.i.valid & go), self.i.ready.eq(self.o.ready & go)]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [inside.eq(~self.o.payload.last), held.eq(0)]
        with m.Elif(self.i.valid & ~go & ~held):
            m.d.comb += self.count.eq(1)
            m.d.sync += held.eq(1)
        return m
