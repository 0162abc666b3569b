"""Holds outputs back until the standby has the records that they depend on."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.message import BEAT, MessageHeader, beat_layout, beat_signature
from ..layouts.output import OUTPUT_LIMIT, OutputFlag
from ..lib import Counters
from .gate_fifo import GateFifo

__all__ = ["AckGate"]

UNGATED_BEATS = 32
SLOT_BEATS = 16
assert OUTPUT_LIMIT < SLOT_BEATS        # with its header


class AckGate(wiring.Component):
    """Holds every GATED output until the standby has confirmed all records issued before it; other outputs pass.

    The kind of a message is not looked at: `i_cmd` must carry OUTPUT messages only (see `FailoverUnit`).

    Parameters
    ----------
    params : SppsParams
        `gate_depth`: gated outputs held.

    Members
    -------
    i_cmd : In(stream of beats)
        OUTPUT messages.
    issued, confirmed : In(32), record numbers
        The last record issued, which becomes the tag of an output, and the last one confirmed.
    flush : In(1)
        1: drop the outputs held (this unit is not active).
    o_cmd : Out(stream of beats)
        OUTPUT messages, whole, ungated ones first.
    level, high_water : Out(range(gate_depth + 1)), outputs
        Gated outputs held, and the most since reset.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency 2 clocks for an ungated output, 5 for a gated one that is confirmed. Throughput 1 beat per clock.
    An ungated output waits for `o_cmd`; a gated one never makes `i_cmd` wait.

    Drop
    ----
    Gated outputs only, see `GateFifo`; TCP repeats them.

    Reset
    -----
    Empty.

    Source
    ------
    Patent §X.B; architecture rules "ACK rule", "output gate".
    """

    COUNTERS = GateFifo.COUNTERS | Counters({
        "passed_gated": "gated outputs passed on to egress", "passed_ungated": "ungated outputs passed on to egress",
    })

    def __init__(self, params):
        self.params = params
        depth = params.gate_depth
        super().__init__({
            "i_cmd": In(beat_signature()), "o_cmd": Out(beat_signature()),
            "issued": In(32), "confirmed": In(32), "flush": In(1),
            "level": Out(range(depth + 1)), "high_water": Out(range(depth + 1)), "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.gate = gate = GateFifo(depth=self.params.gate_depth, slot=SLOT_BEATS, width=BEAT, tag_width=32)
        m.submodules.bypass = bypass = fifo.SyncFIFOBuffered(width=beat_layout().size, depth=UNGATED_BEATS)
        m.d.comb += [gate.tag.eq(self.issued), gate.confirmed.eq(self.confirmed), gate.flush.eq(self.flush),
                     self.level.eq(gate.level), self.high_water.eq(gate.high_water)]

        # input: the header chooses the way of the whole message
        first, way, gated = Signal(init=1), Signal(), Signal()
        header = MessageHeader(self.i_cmd.payload.data)
        m.d.comb += [
            gated.eq(Mux(first, (header.argument & OutputFlag.GATED.value) != 0, way)),
            self.i_cmd.ready.eq(gated | bypass.w_rdy),
            gate.i.payload.eq(self.i_cmd.payload), gate.i.valid.eq(self.i_cmd.valid & gated),
            bypass.w_data.eq(self.i_cmd.payload), bypass.w_en.eq(self.i_cmd.valid & ~gated),
        ]
        with m.If(self.i_cmd.valid & self.i_cmd.ready):
            m.d.sync += [first.eq(self.i_cmd.payload.last), way.eq(gated)]

        # output: ungated first, a message once begun stays whole
        locked, held_way, take_gated = Signal(), Signal(), Signal()
        passed_on = beat_signature().create()
        step = Signal()
        m.d.comb += [
            take_gated.eq(Mux(locked, held_way, ~bypass.r_rdy)),
            step.eq(~self.o_cmd.valid | self.o_cmd.ready),
            gate.o.ready.eq(step & take_gated), bypass.r_en.eq(step & ~take_gated),
            passed_on.valid.eq(Mux(take_gated, gate.o.valid, bypass.r_rdy)),
            passed_on.payload.eq(Mux(take_gated, gate.o.payload.as_value(), bypass.r_data)),
        ]
        passed_gated, passed_ungated = Signal(), Signal()
        m.d.sync += [passed_gated.eq(0), passed_ungated.eq(0)]
        with m.If(step):
            m.d.sync += [self.o_cmd.valid.eq(passed_on.valid), self.o_cmd.payload.eq(passed_on.payload)]
            with m.If(passed_on.valid):
                m.d.sync += [locked.eq(~passed_on.payload.last), held_way.eq(take_gated)]
                with m.If(passed_on.payload.last):
                    m.d.sync += [passed_gated.eq(take_gated), passed_ungated.eq(~take_gated)]
        m.d.comb += self.count.eq(Cat(gate.count, passed_gated, passed_ungated))
        return m
