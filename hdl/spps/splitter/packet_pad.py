"""Two bytes in front of a frame, so that its network header is aligned."""
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature

__all__ = ["PAD_BYTES", "PacketPad"]

#: bytes in front of a frame
PAD_BYTES = 2


class PacketPad(wiring.Component):
    """Put two zero bytes in front of each packet, so that what follows the Ethernet header starts at byte 16.

    Parameters
    ----------
    width : int
        Datapath in bits.

    Members
    -------
    i : In(stream of packet)
        Frames.
    o : Out(stream of packet)
        The same frames with PAD_BYTES zero bytes in front.

    Timing
    ------
    Latency one clock. Throughput one word per clock, one clock more for a packet whose last word has fewer than two
    unused bytes. `i.ready` follows `o.ready` combinationally.

    Drop
    ----
    None.

    Reset
    -----
    Empty.
    """

    def __init__(self, width):
        self.width = width
        super().__init__({"i": In(packet_signature(width)), "o": Out(packet_signature(width))})

    def elaborate(self, platform):
        m = Module()
        size = self.width // 8
        carry, port = Signal(16), Signal(8)
        flush, flush_byte, error = Signal(), Signal(), Signal()
        free = Signal()
        m.d.comb += [free.eq(~self.o.valid | self.o.ready), self.i.ready.eq(free & ~flush)]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(free & flush):
            m.d.sync += [
                flush.eq(0), carry.eq(0), self.o.valid.eq(1), self.o.p.data.eq(carry << self.width - 16),
                self.o.p.port.eq(port),
                self.o.p.empty.eq(size - 2 + flush_byte), self.o.p.last.eq(1), self.o.p.err.eq(error),
            ]
        with m.Elif(free & self.i.valid):
            fits = self.i.p.empty >= 2
            m.d.sync += [
                self.o.valid.eq(1), self.o.p.data.eq(Cat(self.i.p.data[16:], carry)), self.o.p.port.eq(self.i.p.port),
                self.o.p.empty.eq(self.i.p.empty - 2), self.o.p.last.eq(self.i.p.last & fits),
                self.o.p.err.eq(self.i.p.last & self.i.p.err & fits),
                carry.eq(self.i.p.data[:16]), port.eq(self.i.p.port),
            ]
            with m.If(self.i.p.last):
                m.d.sync += [carry.eq(0), flush.eq(~fits), flush_byte.eq(self.i.p.empty[0]), error.eq(self.i.p.err)]
                with m.If(~fits):
                    m.d.sync += carry.eq(self.i.p.data[:16])
        return m
