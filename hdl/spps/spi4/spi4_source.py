"""SPI-4 transmit side."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import (
    link_layout,
    packet_layout,
    packet_signature,
    spi4_signature,
)
from .control import BLOCK_BYTES, SOP_SPACING, ControlWord, Eops
from .dip import Dip4
from .dip_inserter import DipInserter

__all__ = ["Spi4Source"]

_MAX_BLOCKS = 16


class Spi4Source(wiring.Component):
    """Packets to bursts on a SPI-4 link.

    Source: OIF-SPI4-02.1 §6; patent §I, F2 242/244.
    Parameters: params: data_width, ports; dip.
    Members: i; o, o.valid is 1 from the second clock after reset on; status per port; burst_blocks, 16-byte blocks of a
    burst, 1 to 16 (0 counts as
    1, more as 16); count, one pulse per COUNTERS entry.
    Latency: 3 clocks from the word that makes a burst whole to its control word. Throughput: a group of W/16 words per
    clock, one group of control words between bursts.
    Backpressure: i waits while the queue of two largest bursts is full. A packet of a satisfied port holds up those behind it.
    Drop: none; a packet with err ends with EOP abort. Reset: idle control words.

    A burst starts when all of it, or the end of its packet, is queued: it cannot pause. Data starts at lane 0; the control
    word before
    it stands in the last lane of the group before, the one behind it next to the data; idle control words fill the rest.
    """

    COUNTERS = ("packets", "aborted")

    def __init__(self, params, *, dip=Dip4()):
        self.params, self.dip = params, dip
        super().__init__({
            "i": In(packet_signature(params.data_width)), "o": Out(spi4_signature(params.data_width)),
            "status": In(data.ArrayLayout(2, params.ports)), "burst_blocks": In(range(_MAX_BLOCKS + 1)), "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.params
        lanes = p.spi4_lanes
        block = BLOCK_BYTES // p.data_bytes                     # datapath words of a block
        depth = 2 * _MAX_BLOCKS * block
        layout = packet_layout(p.data_width)
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=layout.size, depth=depth)
        m.submodules.inserter = inserter = DipInserter(p.data_width, dip=self.dip)
        wiring.connect(m, inserter.o, wiring.flipped(self.o))
        word = data.View(layout, queue.r_data)
        ends = Signal(range(depth + 1))                         # ends of packets in the queue
        put_end, take_end = Signal(), Signal()
        m.d.comb += [
            queue.w_data.eq(self.i.payload), queue.w_en.eq(self.i.valid), self.i.ready.eq(queue.w_rdy),
            put_end.eq(self.i.valid & self.i.ready & self.i.p.last), take_end.eq(queue.r_en & queue.r_rdy & word.last),
        ]
        m.d.sync += ends.eq(ends + put_end - take_end)

        blocks, burst_words = Signal(range(_MAX_BLOCKS + 1)), Signal(range(depth + 1))
        m.d.comb += [
            blocks.eq(Mux(self.burst_blocks == 0, 1, Mux(self.burst_blocks > _MAX_BLOCKS, _MAX_BLOCKS, self.burst_blocks))),
        ]
        m.d.sync += burst_words.eq(blocks * block)
        inside = Signal()                                       # of a packet
        since = Signal(range(SOP_SPACING + 1), init=SOP_SPACING)   # words since the last SOP control word, saturates
        start = Signal()
        satisfied = Signal()
        m.d.comb += [
            satisfied.eq(self.status[0] == 2),
            start.eq(queue.r_rdy & ((queue.level >= burst_words) | (ends != 0)) & ~satisfied
                     & (inside | (since >= SOP_SPACING - lanes))),
        ]
        with m.Switch(word.port):
            for n in range(1, p.ports):
                with m.Case(n):
                    m.d.comb += satisfied.eq(self.status[n] == 2)

        group = Signal(link_layout(p.data_width), init={"ctl": (1 << lanes) - 1})
        m.d.comb += inserter.i.eq(group)
        left = Signal(range(depth + 1))                         # words of the burst
        eops = Signal(Eops)                                     # what the next control word says of the burst before it
        closing, opening = Signal(ControlWord), Signal(ControlWord)
        m.d.comb += [
            closing.eops.eq(eops),
            opening.payload.eq(1), opening.sop.eq(~inside), opening.address.eq(word.port),
        ]
        m.d.sync += since.eq(Mux(since > SOP_SPACING - lanes, SOP_SPACING, since + lanes))
        packets, aborted = Signal(), Signal()
        m.d.comb += self.count.eq(Cat(packets, aborted))
        used = Signal(range(lanes + 1))                         # lanes of the word at hand with data
        end, ending = Signal(Eops), Signal(ControlWord)
        m.d.comb += [
            used.eq(Mux(word.last, lanes - word.empty[1:], lanes)),
            ending.eops.eq(end),
            end.eq(Mux(word.err, Eops.ABORT, Mux(word.empty[0], Eops.ONE, Eops.TWO))),
        ]

        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [group.ctl.eq(-1), eops.eq(Eops.NONE), left.eq(burst_words)]
                for n in range(lanes):
                    m.d.sync += group.data[n].eq(closing if n == 0 else 0)
                with m.If(start):
                    m.d.sync += group.data[lanes - 1].eq(opening)
                    with m.If(~inside):
                        m.d.sync += since.eq(0)
                    m.next = "BURST"
            with m.State("BURST"):
                m.d.comb += queue.r_en.eq(1)
                m.d.sync += [left.eq(left - 1), inside.eq(~word.last)]
                for n in range(lanes):
                    pair = word.data[p.data_width - 16 * n - 16:p.data_width - 16 * n]
                    odd = word.last & word.empty[0] & (used == n + 1)       # the last byte stands alone in the upper half
                    with m.If(n < used):
                        m.d.sync += [group.ctl[n].eq(0), group.data[n].eq(Mux(odd, pair & 0xFF00, pair))]
                    with m.Else():
                        m.d.sync += [group.ctl[n].eq(1), group.data[n].eq(Mux(used == n, ending, 0))]
                with m.If(word.last):
                    m.d.comb += [packets.eq(1), aborted.eq(word.err)]
                    m.d.sync += eops.eq(Mux(used == lanes, end, Eops.NONE))
                with m.If(word.last | (left == 1)):
                    m.next = "IDLE"
        return m
