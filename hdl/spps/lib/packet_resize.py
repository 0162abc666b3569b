"""Packet stream from one datapath width to another."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import packet_signature

__all__ = ["PacketResize"]


class PacketResize(wiring.Component):
    """Repacks the bytes of packets into words of another width.

    Parameters
    ----------
    i_width, o_width : int
        Datapaths in bits: 32, 64 or 128; ValueError otherwise.

    Members
    -------
    i : In(packet of i_width)
        Packets.
    o : Out(packet of o_width)
        The same packets with the same bytes, `port` and `err`.

    Timing
    ------
    Latency 0 clocks when narrowing or with equal widths, 1 when widening. The narrower side carries a word in every
    clock. `i.ready` is combinational in `o.ready`.

    Drop
    ----
    None.

    Reset
    -----
    Empty.
    """

    def __init__(self, i_width, o_width):
        for name, value in (("i_width", i_width), ("o_width", o_width)):
            if value not in (32, 64, 128):
                raise ValueError(f"{name}={value!r}: must be 32, 64 or 128")
        self.i_width, self.o_width = i_width, o_width
        super().__init__({"i": In(packet_signature(i_width)), "o": Out(packet_signature(o_width))})

    def elaborate(self, platform):
        m = Module()
        if self.i_width == self.o_width:
            wiring.connect(m, wiring.flipped(self.i), wiring.flipped(self.o))
        elif self.i_width > self.o_width:
            self._narrow(m)
        else:
            self._widen(m)
        return m

    def _narrow(self, m):
        pieces = self.i_width // self.o_width
        o_bytes = self.o_width // 8
        index = Signal(range(pieces))
        used = Signal(range(pieces))        # index of the last piece that holds bytes
        final = Signal()
        i, o = self.i.payload, self.o.payload
        words = [i.data[self.i_width - (k + 1) * self.o_width:self.i_width - k * self.o_width] for k in range(pieces)]
        m.d.comb += [
            used.eq(Mux(i.last, pieces - 1 - (i.empty >> (o_bytes - 1).bit_length()), pieces - 1)),
            final.eq(index == used),
            o.port.eq(i.port), o.last.eq(i.last & final), o.err.eq(i.err & final), o.empty.eq(i.empty),
            self.o.valid.eq(self.i.valid), self.i.ready.eq(self.o.ready & final),
        ]
        with m.Switch(index):
            for k, word in enumerate(words):
                with m.Case(k):
                    m.d.comb += o.data.eq(word)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += index.eq(Mux(final, 0, index + 1))

    def _widen(self, m):
        pieces = self.o_width // self.i_width
        i_bytes = self.i_width // 8
        index = Signal(range(pieces))
        i, o = self.i.payload, self.o.payload
        m.d.comb += self.i.ready.eq(~self.o.valid | self.o.ready)
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [o.port.eq(i.port), o.last.eq(i.last), o.err.eq(i.err),
                         index.eq(Mux(i.last, 0, index + 1)),
                         self.o.valid.eq(i.last | (index == pieces - 1))]
            with m.Switch(index):
                for k in range(pieces):
                    with m.Case(k):
                        high = self.o_width - k * self.i_width
                        m.d.sync += [o.data[:high].eq(i.data << (high - self.i_width)),
                                     o.empty.eq(Mux(i.last, i.empty, 0) + (pieces - 1 - k) * i_bytes)]
