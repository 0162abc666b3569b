"""Bursts to datapath words."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .control import TRAINING_ADDRESS, Eops, burst_word_layout, segment_layout

__all__ = ["BurstPacker"]


class BurstPacker(wiring.Component):
    """Gather the data words of each burst into datapath words and judge the control words around it.

    Source: OIF-SPI4-02.1 §6.2. Parameters: width; ports.
    Members: i, segments; o_valid, o; poison, pulse, with or after o: no open packet can be trusted any more; errors, one
    pulse per ERRORS entry.
    Latency: two clocks. Throughput: a segment each clock; one more when its data fills a word and more, and a control word
    follows.
    Backpressure: none from o. Drop: data without payload control, after reserved control words and for addresses that do not
    exist.
    Reset: no burst.

    The last word of a burst is held until the control word behind it has said what it is.
    """

    ERRORS = ("dip4", "abort", "reserved", "no_payload_control", "burst_length", "address", "empty_burst", "eop_without_data")

    def __init__(self, width, ports):
        self.width, self.ports = width, ports
        super().__init__({
            "i": In(stream.Signature(segment_layout(width // 16))), "o_valid": Out(1), "o": Out(burst_word_layout(width)),
            "poison": Out(1), "errors": Out(len(self.ERRORS)),
        })

    def elaborate(self, platform):
        m = Module()
        lanes = self.width // 16
        errors = Signal(data.StructLayout({name: 1 for name in self.ERRORS}))
        m.d.sync += self.errors.eq(errors)

        burst, ignore = Signal(), Signal()      # data is stored, or left out without another count
        port, sop, bad = Signal(8), Signal(), Signal()
        some, words = Signal(), Signal(3)       # data seen in this burst; data words modulo 8
        hold, held = Signal(data.ArrayLayout(16, lanes)), Signal(range(lanes + 1))
        taken = Signal()                        # the data of the segment at i is already in hold

        s = self.i.p
        count = Signal(range(lanes + 1))
        total = Signal(range(2 * lanes + 1))
        m.d.comb += [count.eq(Mux(taken, 0, s.count)), total.eq(held + count)]
        both = [Signal(16, name=f"both_{n}") for n in range(2 * lanes)]     # hold, then the new words
        with m.Switch(held):
            for offset in range(lanes + 1):
                with m.Case(offset):
                    for n in range(2 * lanes):
                        if n < offset:
                            m.d.comb += both[n].eq(hold[n])
                        elif n - offset < lanes:
                            m.d.comb += both[n].eq(s.data[n - offset])
        ends, nothing, ragged = Signal(), Signal(), Signal()
        m.d.comb += [
            ends.eq(s.eops != Eops.NONE), nothing.eq(~some & (count == 0)), ragged.eq(~ends & ((words + count)[:3] != 0)),
        ]

        m.d.sync += [self.o_valid.eq(0), self.poison.eq(0)]
        m.d.comb += self.i.ready.eq(1)
        with m.If(self.i.valid):
            m.d.sync += [taken.eq(0), words.eq(words + count), some.eq(some | (count != 0)),
                         self.o.port.eq(port), self.o.bad.eq(bad | s.lost),
                         self.o.sop.eq(sop), self.o.last.eq(0), self.o.err.eq(0), self.o.empty.eq(0)]
            for n in range(lanes):
                m.d.sync += self.o.data[self.width - 16 * n - 16:self.width - 16 * n].eq(both[n])
            with m.If(s.lost):
                m.d.sync += [bad.eq(1), self.poison.eq(1)]
            with m.If(burst & (total > lanes)):
                m.d.sync += [self.o_valid.eq(1), sop.eq(0), held.eq(total - lanes)]
                for n in range(lanes):
                    m.d.sync += hold[n].eq(both[n + lanes])
                with m.If(s.ctl):
                    m.d.comb += self.i.ready.eq(0)
                    m.d.sync += taken.eq(1)
            with m.Else():
                with m.If(burst):
                    m.d.sync += held.eq(total)
                    for n in range(lanes):
                        m.d.sync += hold[n].eq(both[n])
                with m.Elif((count != 0) & ~ignore):
                    m.d.comb += errors.no_payload_control.eq(1)
                    m.d.sync += ignore.eq(1)
                with m.If(s.ctl):
                    with m.If(burst):
                        m.d.sync += [
                            self.o_valid.eq(1), self.o.last.eq(ends | nothing | ragged),
                            self.o.empty.eq(2 * (lanes - total) + (s.eops == Eops.ONE)),
                            self.o.err.eq(nothing | ragged | (s.eops == Eops.ABORT) | bad | s.bad | s.lost),
                        ]
                        with m.If(nothing):     # a word without bytes does not exist
                            m.d.sync += self.o.empty.eq(2 * lanes - 2)
                        m.d.comb += [
                            errors.abort.eq(s.eops == Eops.ABORT), errors.empty_burst.eq(nothing), errors.burst_length.eq(ragged),
                        ]
                    with m.Else():
                        m.d.comb += errors.eop_without_data.eq(ends & ~ignore & (count == 0))
                    self._open(m, s, errors, burst, ignore)
                    m.d.sync += [port.eq(s.control.address), sop.eq(s.control.sop), bad.eq(s.bad), some.eq(0), words.eq(0), held.eq(0)]
        return m

    def _open(self, m, s, errors, burst, ignore):
        """Say what the data behind the last control word of `s` is."""
        exists, reserved = s.control.address < self.ports, ~s.control.payload & s.control.sop
        m.d.sync += [
            burst.eq(s.control.payload & exists),
            ignore.eq(Mux(s.control.payload, ~exists, s.control.sop | (s.control.address == TRAINING_ADDRESS))),
        ]
        m.d.comb += [
            errors.dip4.eq(s.bad), errors.reserved.eq(reserved & ~s.bad), errors.address.eq(s.control.payload & ~exists & ~s.bad),
        ]
        with m.If(s.bad):
            m.d.sync += self.poison.eq(1)
