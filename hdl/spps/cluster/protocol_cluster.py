"""Protocol cluster: cores with their data memories, a shared program, a DMA and a bus interface."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.activity import activity_layout
from ..layouts.dma import DmaCommand, FlowstateBeat, FlowstateWrite
from ..layouts.message import beat_signature
from ..layouts.register import InstructionWrite
from ..lib.counters import Counters
from ..lib.stream_merge import StreamMerge
from ..ucode.isa import PC_BITS
from .activity_probe import probe_beats, probe_core
from .cluster_bus_interface import ClusterBusInterface
from .cluster_dma import ClusterDma
from .csr_file import CsrFile
from .data_memory import DataMemory
from .dirty_lines import DirtyLines
from .event_slots import EventSlots
from .instruction_memory import InstructionMemory, checked_image
from .ports import CsrInputs
from .protocol_core import RUNAWAY_BITS, ProtocolCore
from .pulse_sum import PulseSum
from .record_tap import RecordTap

__all__ = ["ProtocolCluster"]


def _clocks_of(core):
    """Return what a core counts for itself. Every clock is busy, stalled or idle."""
    return Counters({
        f"core{core}_busy_cycles": f"clocks in which core {core} runs an event and does not wait for the message bus",
        f"core{core}_stalled_cycles": f"clocks in which an event on core {core} waits for the message bus",
        f"core{core}_idle_cycles": f"clocks in which core {core} runs no event",
        f"core{core}_events": f"events ended on core {core}, those that trapped or were not run included",
    })


class ProtocolCluster(wiring.Component):
    """Protocol cores that run the same program on events which the director sends.

    Parameters
    ----------
    params : SppsParams
        Sizes.
    image : sequence of int
        36-bit words of the program.
    index : int
        Number of the cluster.
    activity : bool
        Whether it has the member of that name.

    Members
    -------
    i_msg, o_msg : In, Out(stream of beats)
        Events; messages of the cores.
    i_dma, o_dma_done : In, Out(stream of DmaCommand)
        Flowstate moves; the same when complete.
    o_fs_read, i_fs_data, o_fs_write : Out(stream of 16 bits), In(stream of FlowstateBeat), Out(stream of
    FlowstateWrite)
        Flowstate memory.
    i_imem : In(stream of InstructionWrite)
        Live load of the program.
    csr : In(CsrInputs)
        What the cores read as CSRs. No core starts before every configuration word was shown once.
    runaway : In(16), instructions
        Most instructions of an event, 0: no limit.
    halt : In(cores)
        This core runs nothing; its events are answered as after a trap.
    stuck : In(cores)
        This core gets no instructions: an injected fault.
    busy, waiting : Out(cores)
        An event is being executed; a message of this core waits for the bus.
    trapped : Out(cores)
        This core has trapped since reset.
    trap_code, trap_pc : Out(ArrayLayout(8, cores)), Out(ArrayLayout(12, cores))
        Of the last trap of each core.
    count : Out, pulses
        COUNTERS.
    activity : Out, layouts.activity
        What happens in this clock, for traces.

    Timing
    ------
    10 clocks from EVENT to the first instruction, and the LOAD; 4 clocks from eoe to DONE on `o_msg`. Throughput 1
    instruction per clock and core, 1 beat per clock on each stream. `o_msg` holds `send` and the end of events; a core
    without a free slot holds `i_msg`.

    Drop
    ----
    See ClusterBusInterface and ClusterDma: counted as `bad_message`, `bad_command`.

    Reset
    -----
    Cores idle, queues empty; instruction memory and data memories keep their contents.

    Source
    ------
    Patent §V, §VI, F3.

    Raises
    ------
    ValueError
        `index` is no cluster of the system, or the image does not fit the instruction memory.
    """

    @staticmethod
    def counters(params):
        """COUNTERS of a cluster with params.cores cores."""
        total = Counters({})
        for core in range(params.cores):
            total |= _clocks_of(core)
        return total | ProtocolCore.COUNTERS | RecordTap.COUNTERS | ClusterBusInterface.COUNTERS | ClusterDma.COUNTERS

    def __init__(self, params, *, image=(), index=0, activity=False):
        if not 0 <= index < params.clusters:
            raise ValueError(f"index={index!r}: must be from 0 to clusters - 1 = {params.clusters - 1}")
        self._params, self._index, self._shows_activity = params, index, activity
        self.COUNTERS = self.counters(params)
        self._image = checked_image(params, image)
        cores = params.cores
        super().__init__({
            "i_msg": In(beat_signature()), "o_msg": Out(beat_signature()),
            "i_dma": In(stream.Signature(DmaCommand)), "o_dma_done": Out(stream.Signature(DmaCommand)),
            "o_fs_read": Out(stream.Signature(16)), "i_fs_data": In(stream.Signature(FlowstateBeat)),
            "o_fs_write": Out(stream.Signature(FlowstateWrite)),
            "i_imem": In(stream.Signature(InstructionWrite)), "csr": In(CsrInputs()),
            "runaway": In(RUNAWAY_BITS), "halt": In(cores), "stuck": In(cores), "waiting": Out(cores),
            "busy": Out(cores), "trapped": Out(cores), "trap_code": Out(data.ArrayLayout(8, cores)),
            "trap_pc": Out(data.ArrayLayout(PC_BITS, cores)), "count": Out(self.COUNTERS.layout),
            **({"activity": Out(activity_layout(params)[0].shape)} if activity else {}),
        })

    def elaborate(self, platform):
        m = Module()
        params = self._params
        m.submodules.program = self._program = InstructionMemory(params, image=self._image, index=self._index)
        m.submodules.bus = self._bus = ClusterBusInterface(params, index=self._index)
        m.submodules.dma = self._dma = ClusterDma(params)
        m.submodules.tap = self._tap = RecordTap(params)
        m.submodules.csrs = self._csrs = CsrFile(params, index=self._index)
        self._connect_outside(m)
        cores = [self._add_core(m, number) for number in range(params.cores)]
        self._count(m, cores)
        return m

    def _connect_outside(self, m):
        bus, dma, tap = self._bus, self._dma, self._tap
        m.submodules.writes = writes = StreamMerge(FlowstateWrite)
        wiring.connect(m, bus.o, tap.i)
        wiring.connect(m, bus.o_event, dma.i_event)
        wiring.connect(m, tap.o_write, writes.i[0])
        wiring.connect(m, dma.o_write, writes.i[1])
        for inner, outer in (
            (bus.i, self.i_msg), (tap.o, self.o_msg), (dma.i, self.i_dma), (dma.o_done, self.o_dma_done),
            (dma.o_read, self.o_fs_read), (dma.i_data, self.i_fs_data), (writes.o, self.o_fs_write),
            (self._program.i, self.i_imem), (self._csrs.i, self.csr),
        ):
            wiring.connect(m, inner, wiring.flipped(outer))
        if self._shows_activity:
            probe_beats(m, self.activity.i, self.i_msg)
            probe_beats(m, self.activity.o, self.o_msg)

    def _add_core(self, m, number):
        """Add a core with its memory, slots and dirty lines; return the core."""
        params, dma = self._params, self._dma
        m.submodules[f"core{number}"] = core = ProtocolCore(params)
        m.submodules[f"memory{number}"] = store = DataMemory(params)
        m.submodules[f"slots{number}"] = slots = EventSlots(params)
        m.submodules[f"dirty{number}"] = dirty = DirtyLines(params)
        for asking, answering in (
            (core.program, self._program.core[number]), (core.memory, store.core), (core.csr, self._csrs.core[number]),
            (core.o, self._bus.core[number]), (slots.core, core.events), (self._bus.slots[number], slots.fill),
            (dma.memory[number], store.beats),
        ):
            wiring.connect(m, asking, answering)
        mine = dma.command.core == number
        chosen = mine << dma.command.workspace[:(params.workspaces - 1).bit_length()]
        conn = core.events.event.conn
        m.d.comb += [
            slots.load_start.eq(Mux(dma.load_start, chosen, 0)), slots.load_done.eq(Mux(dma.load_done, chosen, 0)),
            dirty.store.eq(core.store), dirty.address.eq(core.store_address),
            dirty.clean.eq(Mux(mine, dma.clean, 0)), dirty.workspace.eq(dma.command.workspace),
            dma.dirty[number].eq(dirty.lines),
            self._csrs.conn[number].eq(conn), self._tap.conn[number].eq(conn),
            core.configured.eq(self._csrs.ready), core.runaway.eq(self.runaway), core.halt.eq(self.halt[number]),
            core.stuck.eq(self.stuck[number]), self.waiting[number].eq(core.o.valid & ~core.o.ready),
            self.busy[number].eq(core.busy),
            self.trap_code[number].eq(core.trap_code), self.trap_pc[number].eq(core.trap_pc),
        ]
        with m.If(core.count.traps):
            m.d.sync += self.trapped[number].eq(1)
        if self._shows_activity:
            probe_core(m, self.activity.cores[number], core, slots)
        return core

    def _count(self, m, cores):
        clocks = []
        for number, core in enumerate(cores):
            counts = Signal(_clocks_of(number).layout, name=f"counts{number}")
            m.d.sync += counts.eq(Cat(core.busy & ~core.waiting, core.waiting, ~core.busy, core.events.release))
            clocks.append(counts)
        sums = []
        for name in ProtocolCore.COUNTERS:
            m.submodules[f"count_{name}"] = total = PulseSum(self._params.cores)
            m.d.comb += total.i.eq(Cat(core.count[name] for core in cores))
            sums.append(total.o)
        m.d.comb += self.count.eq(Cat(*clocks, *sums, self._tap.count, self._bus.count, self._dma.count))
