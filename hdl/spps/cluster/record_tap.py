"""A copy of every sync record goes into the flowstate memory of this unit."""
from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.dma import FlowstateWrite
from ..layouts.flowstate import DELTA_BEATS, FULL_BEATS, FULL_LINES, LINE_BEATS
from ..layouts.message import BEAT, MessageHeader, MessageKind, Unit, beat_signature
from ..layouts.record import RecordKind, SyncArgument
from ..lib.counters import Counters

__all__ = ["RecordTap"]


class RecordTap(wiring.Component):
    """Copies the lines of each whole SYNC message into flowstate memory.

    A core that traps or is fenced leaves behind what was last written back, which may be older than what it has told
    the outside. No ACK leaves before its record, so a flow that starts again from its last record takes no ACK back:
    the unit is its own standby.

    Parameters
    ----------
    params : SppsParams
        cores.

    Members
    -------
    i : In(stream of beats)
        Messages of the cluster.
    o : Out(stream of beats)
        The same messages.
    conn : In(ArrayLayout(16, cores))
        Connection of the event at work in each core.
    o_write : Out(stream of FlowstateWrite)
        Beats of the lines.
    count : Out, pulses
        COUNTERS.

    Timing
    ------
    No latency. Throughput 1 beat per clock. The lines are written after the last beat of their message, one beat per
    clock, and the next SYNC or DONE waits until then: the lines are in flowstate memory before the director can hear of
    the end of the event.

    Drop
    ----
    A SYNC that was cut, or has another length or another connection than the event's, is passed on and not written.

    Reset
    -----
    Nothing pending.

    Source
    ------
    Patent §X.B; architecture §4 rule 5, §6 rule 1.
    """

    COUNTERS = Counters({"recorded": "sync records copied into flowstate memory"})

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i": In(beat_signature()), "o": Out(beat_signature()),
            "conn": In(data.ArrayLayout(unsigned(16), params.cores)),
            "o_write": Out(stream.Signature(FlowstateWrite)), "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        depth = FULL_BEATS
        m.submodules.lines = lines = memory.Memory(shape=BEAT, depth=depth, init=[])
        keep, fetch = lines.write_port(), lines.read_port(domain="comb")
        header, argument = Signal(MessageHeader), Signal(SyncArgument)
        filled, length = Signal(range(256)), Signal(range(depth + 1))   # beats so far; beats of a whole record
        at = Signal(range(depth))
        writing, hold, first = Signal(), Signal(), Signal(init=1)
        passed, record, fits = Signal(), Signal(), Signal()             # the message that passes is a record
        conn = Signal(16)
        core = header.source[:max(1, (self._params.cores - 1).bit_length())]
        m.d.comb += [
            header.eq(self.i.p.data), argument.eq(header.argument),
            hold.eq(first & writing & ((header.kind == MessageKind.SYNC) | (header.kind == MessageKind.DONE))),
            self.o.valid.eq(self.i.valid & ~hold), self.i.ready.eq(self.o.ready & ~hold), self.o.p.eq(self.i.p),
            passed.eq(self.o.valid & self.o.ready),
            fits.eq((header.kind == MessageKind.SYNC) & (header.unit == Unit.SOCKET)
                    & (argument.conn == self.conn[core])
                    & ((argument.kind == RecordKind.DELTA) | (argument.kind == RecordKind.FULL))),
            keep.addr.eq(filled), keep.data.eq(self.i.p.data), keep.en.eq(passed & ~first & record & (filled < depth)),
            fetch.addr.eq(at), self.o_write.valid.eq(writing), self.o_write.p.data.eq(fetch.data),
            self.o_write.p.conn.eq(conn),
        ]
        with m.Switch(at // LINE_BEATS):
            for place, line in enumerate(FULL_LINES):
                with m.Case(place):
                    m.d.comb += self.o_write.p.beat.eq(line * LINE_BEATS + at % LINE_BEATS)
        with m.If(writing & self.o_write.ready):
            m.d.sync += at.eq(at + 1)
            with m.If(at == length - 1):
                m.d.sync += writing.eq(0)
        with m.If(passed):
            m.d.sync += [first.eq(self.i.p.last), filled.eq(filled + 1)]
            with m.If(first):
                m.d.sync += [filled.eq(0), record.eq(fits)]
                with m.If(fits):
                    m.d.sync += [conn.eq(argument.conn),
                                 length.eq(Mux(argument.kind == RecordKind.DELTA, DELTA_BEATS, depth))]
            with m.Elif(self.i.p.last & record & (filled == length - 1)):
                m.d.comb += self.count.recorded.eq(1)
                m.d.sync += [writing.eq(1), at.eq(0)]
        return m
