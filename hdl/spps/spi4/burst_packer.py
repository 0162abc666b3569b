"""Bursts to datapath words."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..lib.counters import Counters
from .control import BLOCK_BYTES, TRAINING_ADDRESS, Eops, burst_word_layout, segment_layout

__all__ = ["BurstPacker"]


class BurstPacker(wiring.Component):
    """Gather the data words of each burst into datapath words and check the control words around it.

    The last word of a burst is held until the control word behind it has come: that word says whether a packet ends.

    Parameters
    ----------
    width : int
        Datapath in bits.
    ports : int
        Ports that exist, 0 to ports - 1.

    Members
    -------
    i : In(stream of segment_layout)
        Segments of the link.
    o_valid : Out(1)
        `o` holds a word.
    o : Out(burst_word_layout)
        Words of bursts. They never wait.
    poison : Out(1), pulse
        With or after `o`: no open packet can be trusted any more.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency two clocks. Throughput one segment per clock; one clock more when the data of a segment fills more than a
    word and a control word follows. No backpressure from `o`.

    Drop
    ----
    Data that no payload control word precedes, data behind a reserved control word, bursts of ports that do not exist.

    Reset
    -----
    No burst.

    Source
    ------
    OIF-SPI4-02.1 §6.2.
    """

    COUNTERS = Counters({
        "dip4": "control words with a wrong DIP-4",
        "abort": "bursts ended with an abort",
        "reserved": "reserved control words with a right DIP-4; they and the data behind them are left out",
        "no_payload_control": "runs of data words left out because no payload control word came before them",
        "burst_length": "bursts that end no packet and are no multiple of 16 bytes; their packet ends there with err",
        "address": "payload control words with a right DIP-4 for a port that does not exist; their burst is left out",
        "empty_burst": "payload control words without data behind them; their packet ends there with err",
        "eop_without_data": "ends of packet on an idle link",
    })

    def __init__(self, width, ports):
        self.width, self.ports = width, ports
        super().__init__({
            "i": In(stream.Signature(segment_layout(width // 16))),
            "o_valid": Out(1), "o": Out(burst_word_layout(width)),
            "poison": Out(1), "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        lanes = self.width // 16
        found = Signal(self.COUNTERS.layout)
        m.d.sync += self.count.eq(found)

        burst, ignore = Signal(), Signal()      # data is stored, or left out without another count
        port, sop, bad = Signal(8), Signal(), Signal()
        some = Signal()                         # data seen in this burst
        words = Signal(range(BLOCK_BYTES // 2))     # data words of the burst, modulo a block
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
            ends.eq(s.eops != Eops.NONE), nothing.eq(~some & (count == 0)),
            ragged.eq(~ends & ((words + count)[:len(words)] != 0)),
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
                    m.d.comb += found.no_payload_control.eq(1)
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
                            found.abort.eq(s.eops == Eops.ABORT), found.empty_burst.eq(nothing),
                            found.burst_length.eq(ragged),
                        ]
                    with m.Else():
                        m.d.comb += found.eop_without_data.eq(ends & ~ignore & (count == 0))
                    self._open(m, s, found, burst, ignore)
                    m.d.sync += [
                        port.eq(s.control.address), sop.eq(s.control.sop), bad.eq(s.bad),
                        some.eq(0), words.eq(0), held.eq(0),
                    ]
        return m

    def _open(self, m, s, found, burst, ignore):
        """Decide what the data behind the last control word of `s` is."""
        exists, reserved = s.control.address < self.ports, ~s.control.payload & s.control.sop
        m.d.sync += [
            burst.eq(s.control.payload & exists),
            ignore.eq(Mux(s.control.payload, ~exists, s.control.sop | (s.control.address == TRAINING_ADDRESS))),
        ]
        m.d.comb += [
            found.dip4.eq(s.bad), found.reserved.eq(reserved & ~s.bad),
            found.address.eq(s.control.payload & ~exists & ~s.bad),
        ]
        with m.If(s.bad):
            m.d.sync += self.poison.eq(1)
