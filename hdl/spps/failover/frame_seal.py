"""Ends every frame with its tag."""
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .sip_hash import SipHash
from .sync_frame import KEY_BITS, swap_bytes, word_signature

__all__ = ["FrameSeal"]


class FrameSeal(wiring.Component):
    """Passes frames on word by word, and adds the SipHash-2-4 of all words of a frame as its last one.

    Members
    -------
    i : In(stream of packet, 64 bits)
        Frames of whole words.
    o : Out(stream of packet, 64 bits)
        The same, each with its tag.
    key : In(128)
        Constant from a clock before the first word of a frame until that word is taken.

    Timing
    ------
    Latency 1 clock. Throughput a word in four clocks, and 19 clocks for a tag: a frame with a delta takes 63 clocks. A
    link of 1 Gb/s, at 125 MHz, takes 8 clocks for a word.

    Drop
    ----
    None.

    Reset
    -----
    No frame.

    Source
    ------
    hdl/spps/failover/README.md, "Authentication".
    """

    def __init__(self):
        super().__init__({"i": In(word_signature()), "o": Out(word_signature()), "key": In(KEY_BITS)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.hash = hash_ = SipHash()
        out = self.o.payload
        free = Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready), self.i.ready.eq(free & hash_.i.ready),
            hash_.i.valid.eq(free & self.i.valid), hash_.i.payload.data.eq(swap_bytes(self.i.payload.data)),
            hash_.i.payload.last.eq(self.i.payload.last), hash_.key.eq(self.key),
            hash_.clear.eq(free & hash_.done),
        ]
        with m.If(free):
            m.d.sync += [self.o.valid.eq(self.i.valid & hash_.i.ready | hash_.done), out.last.eq(hash_.done),
                         out.data.eq(self.i.payload.data)]
            with m.If(hash_.done):
                m.d.sync += out.data.eq(swap_bytes(hash_.tag))
        return m
