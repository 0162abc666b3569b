"""Backpressure before the scratchpad runs out of pages."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature
from ..lib.counters import Counters

__all__ = ["FrameAdmission"]


class FrameAdmission(wiring.Component):
    """Pass a frame on only while the scratchpad has pages for it and for the frame before it.

    Without it the scratchpad would have to drop payload. A held frame cannot deadlock the unit: pages are given back by
    events that are already inside, and no event inside waits for a frame outside.

    Parameters
    ----------
    params : SppsParams
        Uses data_width, max_frame, scratch_pages, scratch_page_bytes.

    Members
    -------
    i : In(stream of packet)
        Frames of the SPI-4 sink.
    o : Out(stream of packet)
        The same frames, to the message splitter.
    free_pages : In(range(scratch_pages + 1)), pages
        Free pages of the scratchpad.
    close : In(1)
        1: no frame begins.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency none. Throughput one word per clock. `i` waits before the first word of a frame while fewer pages are free
    than two frames of max_frame bytes need, and while `close` is 1; never inside a frame. `i.ready` follows `o.ready`
    combinationally.

    Drop
    ----
    None.

    Reset
    -----
    Between frames.

    Source
    ------
    Patent §II, F2 210.
    """

    COUNTERS = Counters({"held": "frames that had to wait for free pages of the scratchpad, or for a switch-over"})

    def __init__(self, params):
        self.params = params
        packet = packet_signature(params.data_width)
        super().__init__({"i": In(packet), "o": Out(packet), "free_pages": In(range(params.scratch_pages + 1)),
                          "close": In(1),
                          "count": Out(self.COUNTERS.layout)})

    def elaborate(self, platform):
        m = Module()
        p = self.params
        frame_pages = -(-p.max_frame // p.scratch_page_bytes)
        enough, inside, held = Signal(), Signal(), Signal()
        # free_pages lags behind: hence two frames, the other one for a payload that is still on its way to the pages
        m.d.sync += enough.eq(self.free_pages >= 2 * frame_pages)
        go = inside | enough & ~self.close
        m.d.comb += [
            self.o.payload.eq(self.i.payload), self.o.valid.eq(self.i.valid & go), self.i.ready.eq(self.o.ready & go),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [inside.eq(~self.o.payload.last), held.eq(0)]
        with m.Elif(self.i.valid & ~go & ~held):
            m.d.comb += self.count.held.eq(1)
            m.d.sync += held.eq(1)
        return m
