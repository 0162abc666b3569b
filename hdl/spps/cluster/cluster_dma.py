"""Cluster DMA (C DMA): flowstates between flowstate memory and the workspaces of the cores."""
from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..layouts.dma import DmaCommand, DmaOp, FlowstateBeat, FlowstateWrite
from ..layouts.flowstate import FLOWSTATE_WORDS, LINE_WORDS, LINES
from ..layouts.message import BEAT
from .data_memory import map_of

__all__ = ["ClusterDma", "event_write"]

_BEATS = FLOWSTATE_WORDS * 32 // BEAT
_LINE_BEATS = LINE_WORDS * 32 // BEAT
_QUEUE = 4


def event_write(params):
    """A beat of an event for the data memory of a core."""
    return data.StructLayout({
        "core": max(1, (params.cores - 1).bit_length()), "address": (map_of(params).size - 1).bit_length() - 1, "data": BEAT,
    })


class ClusterDma(wiring.Component):
    """Executes LOAD, CLEAR and WRITE_BACK in order; owns the cluster side of all data memories.

    Source: patent §VI, F3 (cluster DMA controller 308); architecture rule "only lines that changed are written back".
    Parameters: params.cores, params.workspaces, params.event_slots.
    Members: i commands, o_done the same commands when complete; o_read, i_data, o_write: flowstate memory; event,
    event_valid, event_ready: beats of arriving events, which go first; dirty: lines per core and workspace,
    clean: one bit per line (with core, workspace of the command) to clear; load_start, load_done with `command`;
    memory side, registered: address, write (bit per core), read, write_data, held until taken; read_data per core;
    count.
    Latency: LOAD 64 clocks + 4 + the memory's; CLEAR 64 + 6; WRITE_BACK 4 clocks per dirty line + 1 per line + 4.
    Throughput: one 64-bit beat per clock. One command at a time.
    Backpressure: o_write and the absence of i_data hold the command; events pass.
    Drop: a command for a core or workspace that does not exist is answered, counted (bad_command) and has no effect.
    Reset: idle.
    """

    COUNTERS = ("loads", "clears", "write_backs", "lines_written", "bad_command")

    def __init__(self, params):
        self._params = params
        beat = event_write(params)
        super().__init__({
            "i": In(stream.Signature(DmaCommand)), "o_done": Out(stream.Signature(DmaCommand)),
            "o_read": Out(stream.Signature(16)), "i_data": In(stream.Signature(FlowstateBeat)),
            "o_write": Out(stream.Signature(FlowstateWrite)),
            "event": In(beat), "event_valid": In(1), "event_ready": Out(1),
            "dirty": In(data.ArrayLayout(data.ArrayLayout(LINES, params.workspaces), params.cores)),
            "clean": Out(LINES), "load_start": Out(1), "load_done": Out(1), "command": Out(DmaCommand),
            "address": Out(beat["address"].shape), "write": Out(params.cores), "read": Out(1), "write_data": Out(BEAT),
            "taken": In(1),
            "read_data": In(data.ArrayLayout(BEAT, params.cores)),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        params = self._params
        command = self.command
        core = command.core[:max(1, (params.cores - 1).bit_length())]
        workspace = command.workspace[:(params.workspaces - 1).bit_length()]
        legal = (command.core < params.cores) & (command.workspace < params.workspaces)
        count = {name: Signal(name=f"count_{name}") for name in self.COUNTERS}
        m.d.comb += self.count.eq(Cat(*count.values()))

        # Memory side: one request at a time, an event beat before a load beat or a read; it waits for the core that
        # uses its port. A read is asked for only when the queue has room for its data.
        m.submodules.queue = queue = SyncFIFO(width=FlowstateWrite.as_shape().size, depth=_QUEUE)
        load_beat, read_beat, clear_beat = Signal(), Signal(), Signal()
        beat = Signal(range(_BEATS))
        fetched = Signal()
        asked_beat, fetched_beat = Signal(range(_BEATS)), Signal(range(_BEATS))
        step = Signal()
        asked = self.read
        m.d.comb += [step.eq(~(asked | self.write.any()) | self.taken), self.event_ready.eq(step)]
        m.d.sync += [fetched.eq(asked & self.taken), fetched_beat.eq(asked_beat)]
        with m.If(step):
            m.d.sync += [
                self.address.eq(Mux(self.event_valid, self.event.address, Cat(beat, workspace))),
                self.write_data.eq(Mux(self.event_valid, self.event.data, Mux(clear_beat, 0, self.i_data.p.data))),
                self.write.eq(Mux(self.event_valid, C(1, params.cores) << self.event.core,
                                  Mux(load_beat | clear_beat, C(1, params.cores) << core, 0))),
                asked.eq(read_beat), asked_beat.eq(beat),
            ]
        result, out = Signal(FlowstateWrite), Signal(FlowstateWrite)
        room = Signal()
        m.d.comb += [
            result.conn.eq(command.conn), result.beat.eq(Mux(clear_beat, beat, fetched_beat)),
            result.data.eq(Mux(clear_beat, 0, self.read_data[core])),
            queue.w_data.eq(result), queue.w_en.eq(fetched | clear_beat),
            out.eq(queue.r_data), self.o_write.valid.eq(queue.r_rdy), self.o_write.payload.eq(out),
            queue.r_en.eq(self.o_write.ready),
            room.eq(queue.level + asked + fetched < _QUEUE),
        ]

        lines = Signal(LINES)
        lowest = Signal(LINES)
        line = Signal(range(LINES))
        m.d.comb += [
            lowest.eq(lines & -lines),
            line.eq(Cat(Cat(lowest[i] for i in range(LINES) if i >> bit & 1).any() for bit in range(len(line)))),
            self.o_read.payload.eq(command.conn), self.o_done.payload.eq(command),
        ]
        with m.FSM(name="dma"):
            with m.State("WAIT"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(self.i.valid):
                    m.d.sync += command.eq(self.i.payload)
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.sync += [beat.eq(0), lines.eq(self.dirty[core][workspace])]
                with m.If(~legal):
                    m.d.comb += count["bad_command"].eq(1)
                    m.next = "REPORT"
                with m.Elif(command.op == DmaOp.LOAD):
                    m.d.comb += [self.load_start.eq(1), self.clean.eq(~C(0, LINES))]
                    m.next = "REQUEST"
                with m.Elif(command.op == DmaOp.CLEAR):
                    m.d.comb += [self.load_start.eq(1), self.clean.eq(~C(0, LINES))]
                    m.next = "CLEAR"
                with m.Else():
                    m.next = "PICK"
            with m.State("REQUEST"):
                m.d.comb += self.o_read.valid.eq(1)
                with m.If(self.o_read.ready):
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += self.i_data.ready.eq(step & ~self.event_valid)
                with m.If(self.i_data.valid & self.i_data.ready):
                    m.d.comb += load_beat.eq(1)
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(self.i_data.p.last):
                        m.next = "SETTLE"
            with m.State("CLEAR"):
                with m.If(room & step & ~self.event_valid):
                    m.d.comb += clear_beat.eq(1)
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat == _BEATS - 1):
                        m.next = "SETTLE"
            with m.State("SETTLE"):     # the last beat waits to be written
                with m.If(step & ~queue.r_rdy):
                    m.d.comb += [self.load_done.eq(1), count["loads"].eq(command.op == DmaOp.LOAD),
                                 count["clears"].eq(command.op == DmaOp.CLEAR)]
                    m.next = "REPORT"
            with m.State("PICK"):
                m.d.sync += beat.eq(line * _LINE_BEATS)
                with m.If(lines != 0):
                    m.d.comb += [self.clean.eq(lowest), count["lines_written"].eq(1)]
                    m.d.sync += lines.eq(lines & ~lowest)
                    m.next = "READ"
                with m.Elif(~asked & ~fetched & ~queue.r_rdy):      # every write has been taken
                    m.d.comb += count["write_backs"].eq(1)
                    m.next = "REPORT"
            with m.State("READ"):
                with m.If(room & step & ~self.event_valid):
                    m.d.comb += read_beat.eq(1)
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat % _LINE_BEATS == _LINE_BEATS - 1):
                        m.next = "PICK"
            with m.State("REPORT"):
                m.d.comb += self.o_done.valid.eq(1)
                with m.If(self.o_done.ready):
                    m.next = "WAIT"
        return m
