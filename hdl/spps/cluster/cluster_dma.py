"""Cluster DMA (C DMA): flowstates between flowstate memory and the workspaces of the cores."""
from amaranth.hdl import C, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from ..layouts.dma import DmaCommand, DmaOp, FlowstateBeat, FlowstateWrite
from ..layouts.flowstate import FLOWSTATE_WORDS, LINE_BEATS, LINES
from ..layouts.message import BEAT
from ..lib.counters import Counters
from .cluster_bus_interface import event_write
from .ports import BeatPort

__all__ = ["ClusterDma"]

_BEATS = FLOWSTATE_WORDS * 32 // BEAT
_QUEUE = 4              # beats on their way to flowstate memory: those in the pipeline of a read, and one that waits


class ClusterDma(wiring.Component):
    """Executes LOAD, CLEAR and WRITE_BACK in order; owns the beat side of all data memories.

    Beats of arriving events go first.

    Parameters
    ----------
    params : SppsParams
        cores, workspaces, event_slots.

    Members
    -------
    i : In(stream of DmaCommand)
        Commands.
    o_done : Out(stream of DmaCommand)
        The same commands when complete.
    o_read : Out(stream of 16 bits)
        Connection whose flowstate is to be read.
    i_data : In(stream of FlowstateBeat)
        The answer.
    o_write : Out(stream of FlowstateWrite)
        Beats for flowstate memory.
    i_event : In(stream of event_write)
        Beats of arriving events.
    memory : Out(BeatPort), array of cores
        Data memories. Requests are registered.
    command : Out(DmaCommand)
        The command at work.
    dirty : In(ArrayLayout(16, workspaces), per core)
        Lines written since their load.
    clean : Out(16)
        Lines to mark clean, of core and workspace of `command`.
    load_start, load_done : Out(1), pulses
        A LOAD or CLEAR of the workspace of `command` begins, has ended.
    count : Out, pulses
        COUNTERS.

    Timing
    ------
    LOAD 64 clocks + 4 + those of the memory; CLEAR 64 + 6; WRITE_BACK 4 clocks per dirty line + 1 per line + 4. One
    command at a time, one beat of 64 bits per clock. `o_write` and the absence of `i_data` hold the command; events
    pass.

    Drop
    ----
    A command for a core or workspace that does not exist is answered and counted (`bad_command`) and has no effect.

    Reset
    -----
    Idle.

    Source
    ------
    Patent §VI, F3 (cluster DMA controller 308); architecture rule "only lines that changed are written back".
    """

    COUNTERS = Counters({
        "loads": "LOAD commands completed: a flowstate read into a workspace",
        "clears": "CLEAR commands completed: a workspace and its flowstate filled with zeros",
        "write_backs": "WRITE_BACK commands completed",
        "lines_written": "dirty lines of workspaces written to flowstate memory",
        "bad_command": "DMA commands for a core or workspace that does not exist, answered without effect",
    })

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i": In(stream.Signature(DmaCommand)), "o_done": Out(stream.Signature(DmaCommand)),
            "o_read": Out(stream.Signature(16)), "i_data": In(stream.Signature(FlowstateBeat)),
            "o_write": Out(stream.Signature(FlowstateWrite)), "i_event": In(stream.Signature(event_write(params))),
            "memory": Out(BeatPort(params)).array(params.cores), "command": Out(DmaCommand),
            "dirty": In(data.ArrayLayout(data.ArrayLayout(LINES, params.workspaces), params.cores)),
            "clean": Out(LINES), "load_start": Out(1), "load_done": Out(1), "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        command = self.command
        self._core = command.core[:max(1, (self._params.cores - 1).bit_length())]
        self._workspace = command.workspace[:(self._params.workspaces - 1).bit_length()]
        # a beat of the command moves
        self._load_beat, self._read_beat, self._clear_beat = Signal(), Signal(), Signal()
        self._beat = Signal(range(_BEATS))      # which one
        self._step, self._room = Signal(), Signal()     # the memory side takes a request; so does the queue
        self._empty, self._written = Signal(), Signal()     # the queue is empty; so is the pipeline of reads before it
        self._access_memory(m)
        self._execute(m)
        return m

    def _access_memory(self, m):
        """One request at a time, an event beat before one of the command; it waits for the core that uses its port.

        A read is asked for only when the queue has room for its data.
        """
        params, command, event = self._params, self.command, self.i_event
        m.submodules.queue = queue = SyncFIFO(width=FlowstateWrite.as_shape().size, depth=_QUEUE)
        asked, fetched, taken = Signal(), Signal(), Signal()
        asked_beat, fetched_beat = Signal(range(_BEATS)), Signal(range(_BEATS))
        address, writes, write_data = Signal(self.memory[0].address.shape()), Signal(params.cores), Signal(BEAT)
        read_data = Signal(data.ArrayLayout(BEAT, params.cores))
        m.d.comb += [
            taken.eq(Cat(port.taken for port in self.memory).any()),
            read_data.eq(Cat(port.read_data for port in self.memory)),
            self._step.eq(~(asked | writes.any()) | taken), event.ready.eq(self._step),
        ]
        for number, port in enumerate(self.memory):
            m.d.comb += [
                port.address.eq(address), port.read.eq(asked & (command.core == number)), port.write.eq(writes[number]),
                port.write_data.eq(write_data),
            ]
        m.d.sync += [fetched.eq(asked & taken), fetched_beat.eq(asked_beat)]
        with m.If(self._step):
            m.d.sync += [
                address.eq(Mux(event.valid, event.p.address, Cat(self._beat, self._workspace))),
                write_data.eq(Mux(event.valid, event.p.data, Mux(self._clear_beat, 0, self.i_data.p.data))),
                writes.eq(Mux(event.valid, C(1, params.cores) << event.p.core,
                              Mux(self._load_beat | self._clear_beat, C(1, params.cores) << self._core, 0))),
                asked.eq(self._read_beat), asked_beat.eq(self._beat),
            ]
        result, out = Signal(FlowstateWrite), Signal(FlowstateWrite)
        m.d.comb += [
            result.conn.eq(command.conn), result.beat.eq(Mux(self._clear_beat, self._beat, fetched_beat)),
            result.data.eq(Mux(self._clear_beat, 0, read_data[self._core])),
            queue.w_data.eq(result), queue.w_en.eq(fetched | self._clear_beat),
            out.eq(queue.r_data), self.o_write.valid.eq(queue.r_rdy), self.o_write.payload.eq(out),
            queue.r_en.eq(self.o_write.ready),
            self._room.eq(queue.level + asked + fetched < _QUEUE),
            self._empty.eq(~queue.r_rdy), self._written.eq(~asked & ~fetched & ~queue.r_rdy),
        ]

    def _execute(self, m):
        """Add the state machine of commands."""
        command, beat, step, count = self.command, self._beat, self._step, self.count
        core, workspace = self._core, self._workspace
        legal = (command.core < self._params.cores) & (command.workspace < self._params.workspaces)
        # still to be written; its lowest, one-hot and as a number
        lines, lowest, line = Signal(LINES), Signal(LINES), Signal(range(LINES))
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
                    m.d.comb += count.bad_command.eq(1)
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
                m.d.comb += self.i_data.ready.eq(step & ~self.i_event.valid)
                with m.If(self.i_data.valid & self.i_data.ready):
                    m.d.comb += self._load_beat.eq(1)
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(self.i_data.p.last):
                        m.next = "SETTLE"
            with m.State("CLEAR"):
                with m.If(self._room & step & ~self.i_event.valid):
                    m.d.comb += self._clear_beat.eq(1)
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat == _BEATS - 1):
                        m.next = "SETTLE"
            with m.State("SETTLE"):     # the last beat waits to be written
                with m.If(step & self._empty):
                    m.d.comb += [self.load_done.eq(1), count.loads.eq(command.op == DmaOp.LOAD),
                                 count.clears.eq(command.op == DmaOp.CLEAR)]
                    m.next = "REPORT"
            with m.State("PICK"):
                m.d.sync += beat.eq(line * LINE_BEATS)
                with m.If(lines != 0):
                    m.d.comb += [self.clean.eq(lowest), count.lines_written.eq(1)]
                    m.d.sync += lines.eq(lines & ~lowest)
                    m.next = "READ"
                with m.Elif(self._written):      # every write has been taken
                    m.d.comb += count.write_backs.eq(1)
                    m.next = "REPORT"
            with m.State("READ"):
                with m.If(self._room & step & ~self.i_event.valid):
                    m.d.comb += self._read_beat.eq(1)
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat % LINE_BEATS == LINE_BEATS - 1):
                        m.next = "PICK"
            with m.State("REPORT"):
                m.d.comb += self.o_done.valid.eq(1)
                with m.If(self.o_done.ready):
                    m.next = "WAIT"
