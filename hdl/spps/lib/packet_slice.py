"""Byte ranges of packets."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import exact_log2

from ..layouts.packet import packet_layout, packet_signature

__all__ = ["PacketSlice"]


class PacketSlice(wiring.Component):
    """Passes bytes [start, end) of each packet on, left-aligned; unused bytes of the last word are zero.

    Parameters
    ----------
    width : int
        Datapath in bits: 32, 64 or 128; ValueError otherwise.
    granule : int
        `start` is a multiple of it: 1, 2 or 4 bytes; ValueError otherwise. A larger granule needs a narrower shifter.

    Members
    -------
    i : In(packet)
        Packets.
    start, end : In(16), bytes
        The range, counted from the first byte of the packet. `start` is constant from the word that holds byte `start`
        on; `end` is read with that word or the next.
    o : Out(packet)
        The range. A packet that ends before `end` gives a shorter one with `err`.
    busy : Out(1)
        A packet is inside.

    Timing
    ------
    Latency 1 clock, 2 when the range does not start on a word. Throughput 1 word per clock, and one clock more for a
    packet whose last bytes do not fit into the word before. `i.ready` is combinational in `o.ready`.

    Drop
    ----
    An empty range, or a packet that ends before `start`, gives no packet at `o`.

    Reset
    -----
    Empty.
    """

    def __init__(self, width, *, granule=1):
        if width not in (32, 64, 128):
            raise ValueError(f"width={width!r}: must be 32, 64 or 128")
        if granule not in (1, 2, 4):
            raise ValueError(f"granule={granule!r}: must be 1, 2 or 4 bytes")
        self.width, self.granule = width, granule
        super().__init__({
            "i": In(packet_signature(width)), "start": In(16), "end": In(16),
            "o": Out(packet_signature(width)), "busy": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        size = self.width // 8
        bits = exact_log2(size)
        word = Signal(16 - bits + 1)            # index of the word at i
        shift = Signal(bits)                    # bytes of a word before the range
        m.d.comb += shift.eq(self.start[:bits])
        previous = Signal(self.width)
        active, finished, flush, inside, error = (
            Signal(name=n) for n in ("active", "finished", "flush", "inside", "error"))
        left = Signal(16)                       # bytes still to be passed on
        tail = Signal(bits + 1)                 # bytes of `previous` to be flushed

        out = Signal(packet_layout(self.width))
        free = Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(free & ~flush),
            self.o.payload.eq(out),
            self.busy.eq(inside | flush | self.o.valid),
        ]
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        current = Signal(self.width)
        m.d.comb += current.eq(Mux(flush, 0, self.i.p.data))
        pair = Cat(current, previous)           # previous word in the upper half
        shifted = Signal(self.width)
        with m.Switch(shift):
            for offset in range(0, size, self.granule):
                with m.Case(offset):
                    m.d.comb += shifted.eq(pair[2 * self.width - 8 * offset - self.width:2 * self.width - 8 * offset]
                                           if offset else current)

        valid = Signal(bits + 1)                # bytes of the word at i
        m.d.comb += valid.eq(Mux(self.i.p.last, size - self.i.p.empty, size))
        aligned = Signal()
        m.d.comb += aligned.eq(shift == 0)
        here, first = Signal(), Signal()
        m.d.comb += [
            here.eq(word == self.start[bits:]),
            first.eq(Mux(aligned, here, word == self.start[bits:] + 1) & ~finished & ~active),
        ]
        span = Signal(16)
        m.d.comb += span.eq(Mux(self.end > self.start, self.end - self.start, 0))
        remaining = Signal(16)
        m.d.comb += remaining.eq(Mux(active, left, span))

        available = Signal(bits + 1)            # bytes of this output word that exist
        m.d.comb += available.eq(Mux(flush, tail, Mux(aligned, valid, Mux(valid > shift, size, size - shift + valid))))
        more = Signal()                         # the last input word fills a further output word
        m.d.comb += more.eq(self.i.p.last & ~aligned & (valid > shift))
        complete, emit, count = Signal(), Signal(), Signal(bits + 1)
        m.d.comb += [
            complete.eq(remaining <= available),
            count.eq(Mux(complete, remaining, available)),
        ]
        mask = Signal(self.width)
        for byte in range(size):
            m.d.comb += mask[self.width - 8 * byte - 8:self.width - 8 * byte].eq(Mux(count > byte, 0xFF, 0))

        with m.If(free & flush):
            m.d.comb += emit.eq(1)
            m.d.sync += [flush.eq(0), active.eq(0), out.last.eq(1), out.err.eq(error | ~complete)]
        with m.Elif(free & self.i.valid):
            m.d.comb += emit.eq((first | active) & (remaining != 0))
            ends = Signal()
            m.d.comb += ends.eq(complete | (self.i.p.last & ~more))
            m.d.sync += [
                previous.eq(self.i.p.data), word.eq(word + 1), inside.eq(1),
                out.last.eq(ends), out.err.eq(self.i.p.last & (self.i.p.err | ~complete)), out.port.eq(self.i.p.port),
                left.eq(remaining - available),
            ]
            with m.If(first & (remaining == 0)):
                m.d.sync += finished.eq(1)
            with m.If(emit):
                m.d.sync += [active.eq(~ends), finished.eq(ends)]
            with m.If(self.i.p.last):
                m.d.sync += [word.eq(0), inside.eq(0), active.eq(0), finished.eq(0), error.eq(self.i.p.err),
                             tail.eq(valid - shift)]
                with m.If(more & ~finished & (remaining != 0)):
                    # emitted now and not complete, or the range starts in this very word
                    with m.If((emit & ~complete) | (here & ~active)):
                        m.d.sync += [flush.eq(1), active.eq(1), left.eq(Mux(emit, remaining - available, remaining))]
        with m.If(emit):
            m.d.sync += [self.o.valid.eq(1), out.data.eq(shifted & mask), out.empty.eq(size - count)]
        return m
