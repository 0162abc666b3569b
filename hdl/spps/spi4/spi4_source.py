"""SPI-4 transmit side."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, fifo, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.packet import link_layout, packet_layout, packet_signature, spi4_signature
from ..lib.counters import Counters
from .control import BLOCK_BYTES, SOP_SPACING, ControlWord, Eops
from .dip import DIP4
from .dip_inserter import DipInserter

__all__ = ["Spi4Source"]

_MAX_BLOCKS = 16        # the queue holds two bursts of this length
_SATISFIED = 2


class Spi4Source(wiring.Component):
    """Send packets as bursts on a SPI-4 link.

    A burst cannot pause, so it starts when all of it, or the end of its packet, is queued. Its data starts at lane 0.
    The control word before it stands in the last lane of the group before, the control word behind it next to the data;
    idle control words fill the remaining lanes.

    Parameters
    ----------
    params : SppsParams
        Uses data_width, ports.
    dip : Dip4
        Parity of the link.

    Members
    -------
    i : In(stream of packet)
        Packets.
    o : Out(spi4_signature(data_width))
        The link; `o.valid` is 1 from the second clock after reset on.
    status : In(ArrayLayout(2, ports))
        FIFO status of each port at the other end: 2 is satisfied.
    burst_blocks : In(range(17)), blocks of 16 bytes
        Longest burst, 1 to 16; 0 counts as 1, more than 16 as 16.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency 3 clocks from the word that completes a burst to its control word. Throughput one group of words per clock,
    and one group of control words between bursts. `i` waits while the queue of two longest bursts is full. A packet for
    a satisfied port waits, and those behind it too.

    Drop
    ----
    None. A packet with err ends with an abort.

    Reset
    -----
    Idle control words.

    Source
    ------
    OIF-SPI4-02.1 §6; patent §I, F2 242/244.
    """

    COUNTERS = Counters({
        "packets": "packets sent",
        "aborted": "packets sent that end with an abort because they came with err",
    })

    def __init__(self, params, *, dip=DIP4):
        self.params, self.dip = params, dip
        super().__init__({
            "i": In(packet_signature(params.data_width)), "o": Out(spi4_signature(params.data_width)),
            "status": In(data.ArrayLayout(2, params.ports)), "burst_blocks": In(range(_MAX_BLOCKS + 1)),
            "count": Out(self.COUNTERS.layout),
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
            blocks.eq(Mux(self.burst_blocks == 0, 1,
                          Mux(self.burst_blocks > _MAX_BLOCKS, _MAX_BLOCKS, self.burst_blocks))),
        ]
        m.d.sync += burst_words.eq(blocks * block)
        inside = Signal()                                       # of a packet
        since = Signal(range(SOP_SPACING + 1), init=SOP_SPACING)   # words since the last SOP control word, saturates
        start = Signal()
        satisfied = Signal()
        m.d.comb += [
            satisfied.eq(self.status[0] == _SATISFIED),
            start.eq(queue.r_rdy & ((queue.level >= burst_words) | (ends != 0)) & ~satisfied
                     & (inside | (since >= SOP_SPACING - lanes))),
        ]
        with m.Switch(word.port):
            for n in range(1, p.ports):
                with m.Case(n):
                    m.d.comb += satisfied.eq(self.status[n] == _SATISFIED)
        self._words(m, queue, word, start, burst_words, inside, since, inserter.i)
        return m

    def _words(self, m, queue, word, start, burst_words, inside, since, o):
        """Send a burst when `start` says so, idle control words otherwise."""
        p = self.params
        lanes = p.spi4_lanes
        group = Signal(link_layout(p.data_width), init={"ctl": (1 << lanes) - 1})
        m.d.comb += o.eq(group)
        left = Signal.like(burst_words)                         # words of the burst
        eops = Signal(Eops)                                     # what the next control word says of the burst before it
        closing, opening = Signal(ControlWord), Signal(ControlWord)
        m.d.comb += [
            closing.eops.eq(eops),
            opening.payload.eq(1), opening.sop.eq(~inside), opening.address.eq(word.port),
        ]
        m.d.sync += since.eq(Mux(since > SOP_SPACING - lanes, SOP_SPACING, since + lanes))
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
                    odd = word.last & word.empty[0] & (used == n + 1)       # one byte, in the upper half
                    with m.If(n < used):
                        m.d.sync += [group.ctl[n].eq(0), group.data[n].eq(Mux(odd, pair & 0xFF00, pair))]
                    with m.Else():
                        m.d.sync += [group.ctl[n].eq(1), group.data[n].eq(Mux(used == n, ending, 0))]
                with m.If(word.last):
                    m.d.comb += [self.count.packets.eq(1), self.count.aborted.eq(word.err)]
                    m.d.sync += eops.eq(Mux(used == lanes, end, Eops.NONE))
                with m.If(word.last | (left == 1)):
                    m.next = "IDLE"
