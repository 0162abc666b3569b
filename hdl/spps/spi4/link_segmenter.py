"""Groups of SPI-4 words to runs of data words and control words."""
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from ..lib.counters import Counters
from .control import ControlWord, Eops, checked_layout, segment_layout

__all__ = ["LinkSegmenter"]


class LinkSegmenter(wiring.Component):
    """Queue groups of words and cut each into segments: data words, then control words handled in one clock.

    A segment has control words up to and with the first that is no plain idle word: behind a payload, reserved or bad
    control word, and before one that ends a packet, a new segment begins.

    Parameters
    ----------
    lanes : int
        Words of a group.
    depth : int
        Groups that the queue holds.

    Members
    -------
    i_valid : In(1)
        `i` holds a group.
    i : In(checked_layout(lanes))
        Groups with DIP-4 findings. They never wait.
    o : Out(stream of segment_layout(lanes))
        Segments.
    level : Out(range(depth + 1)), groups
        Groups in the queue.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    Latency three clocks. Throughput: one clock for a group of data, or of data and then control words; two when data
    follows a control word; one more for each further segment. While `o` waits, the queue fills.

    Drop
    ----
    Groups that find the queue full (input_overflow); the next segment has `lost`. Groups of idle words behind idle
    words.

    Reset
    -----
    Empty.

    Source
    ------
    OIF-SPI4-02.1 §6.2.
    """

    COUNTERS = Counters({"input_overflow": "groups of words lost because the queue at the link was full"})

    def __init__(self, lanes, *, depth=64):
        self.lanes, self.depth = lanes, depth
        super().__init__({
            "i_valid": In(1), "i": In(checked_layout(lanes)), "o": Out(stream.Signature(segment_layout(lanes))),
            "level": Out(range(depth + 1)), "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        lanes = self.lanes
        layout = checked_layout(lanes)
        m.submodules.queue = queue = fifo.SyncFIFOBuffered(width=layout.size, depth=self.depth)
        lost = Signal()
        entry = data.View(layout, queue.r_data)
        stamped = Signal(layout)
        m.d.comb += [
            stamped.eq(self.i), stamped.lost.eq(lost), queue.w_data.eq(stamped),
            self.level.eq(queue.level), self.count.input_overflow.eq(queue.w_en & ~queue.w_rdy),
        ]
        # Idle words behind idle words carry nothing. Without them the queue drains while the link is idle.
        idle, resting = Signal(), Signal()
        arriving = [ControlWord(self.i.data[n]) for n in range(lanes)]
        m.d.comb += [
            idle.eq(self.i.ctl.all() & ~self.i.bad.any() & ~Cat(word.as_value()[4:] for word in arriving).any()),
            queue.w_en.eq(self.i_valid & ~(idle & resting)),
        ]
        with m.If(self.i_valid):
            m.d.sync += resting.eq(self.i.ctl[-1] & ~self.i.bad[-1] & ~arriving[-1].payload)
        with m.If(queue.w_en):
            m.d.sync += lost.eq(~queue.w_rdy)

        group = Signal(layout)                  # its next word is word 0
        have = Signal(range(lanes + 1))
        controls = [ControlWord(group.data[n]) for n in range(lanes)]
        present = [Signal(name=f"present_{n}") for n in range(lanes)]       # a control word
        before = [Signal(name=f"before_{n}") for n in range(lanes)]         # no control word up to here
        run = [Signal(name=f"run_{n}") for n in range(lanes)]               # control words of this segment
        first = [Signal(name=f"first_{n}") for n in range(lanes)]
        for n in range(lanes):
            m.d.comb += [
                present[n].eq(group.ctl[n] & (have > n)),
                before[n].eq(~group.ctl[n] & (have > n) & (before[n - 1] if n else 1)),
                first[n].eq(present[n] & (before[n - 1] if n else 1)),
            ]
            if n:
                plain = ~controls[n - 1].payload & ~controls[n - 1].sop & ~group.bad[n - 1]
                follows = run[n - 1] & plain & present[n] & (controls[n].eops == Eops.NONE)
            else:
                follows = Const(0)
            m.d.comb += run[n].eq(first[n] | follows)
        count, used = Signal(range(lanes + 1)), Signal(range(lanes + 1))
        m.d.comb += [count.eq(sum(before)), used.eq(count + sum(run))]

        segment = Signal(segment_layout(lanes))
        m.d.comb += [segment.data.eq(group.data), segment.count.eq(count), segment.lost.eq(group.lost)]
        for n in range(lanes):
            with m.If(first[n]):
                m.d.comb += segment.ctl.eq(1)
                with m.If(controls[n].payload | ~controls[n].sop):      # a reserved word ends no packet
                    m.d.comb += segment.eops.eq(controls[n].eops)
            with m.If(run[n]):                  # the last one wins
                m.d.comb += [segment.control.eq(group.data[n]), segment.bad.eq(group.bad[n])]

        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)
        with m.If(~self.o.valid | self.o.ready):
            with m.If(have != 0):
                m.d.sync += [self.o.valid.eq(1), self.o.payload.eq(segment)]
            with m.If(used == have):
                m.d.comb += queue.r_en.eq(1)
                m.d.sync += [group.eq(entry), have.eq(Mux(queue.r_rdy, lanes, 0))]
            with m.Else():
                m.d.sync += [have.eq(have - used), group.lost.eq(0)]
                with m.Switch(used):
                    for n in range(1, lanes):
                        with m.Case(n):
                            for lane in range(lanes - n):
                                m.d.sync += [
                                    group.data[lane].eq(group.data[lane + n]), group.ctl[lane].eq(group.ctl[lane + n]),
                                    group.bad[lane].eq(group.bad[lane + n]),
                                ]
        return m
