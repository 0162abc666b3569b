"""Protocol cluster: cores with their data memories, a shared program, a DMA and a bus interface."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.activity import activity_layout
from ..layouts.config import ConfigWord
from ..layouts.dma import DmaCommand, FlowstateBeat, FlowstateWrite
from ..layouts.message import beat_signature
from ..layouts.register import InstructionWrite
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
from .protocol_core import RUNAWAY_BITS, ProtocolCore
from .pulse_sum import PulseSum
from .record_tap import RecordTap

__all__ = ["ProtocolCluster"]

_PULSES = ("traps", "cut_messages", "voided", "released")
_PER_CORE = ("busy_cycles", "stalled_cycles", "idle_cycles", "events")


class ProtocolCluster(wiring.Component):
    """params.cores protocol cores that run the same program on events which the director sends.

    Source: patent §V, §VI, F3.
    Parameters: params; image: 36-bit words of the program; index: number of the cluster; activity: with the member of that name.
    Members: i_msg events in, o_msg messages out; i_dma, o_dma_done flowstate moves, o_fs_read, i_fs_data, o_fs_write to
    flowstate memory; i_imem live load of the program; now, cycles, isn_clock, epoch, role, sync_ready, fast_ready, pool_status, protect, cfg: CSRs
    (cfg one word at a time; no core starts before the last one was shown); runaway: most instructions of an event, 0 no limit; busy: an event is being
    executed, per core; waiting: a message of this core waits for the bus; halt: this core runs nothing, its events are answered as
    after a trap; stuck: this core gets no instructions (fault injection); trapped: has trapped since reset, per core, with trap_code
    and trap_pc of the last trap; count; activity: what happens in this clock, for traces (layouts.activity).
    Latency: EVENT to first instruction 10 clocks plus the LOAD; eoe to DONE on o_msg 4 clocks.
    Throughput: 1 instruction per clock and core; 1 beat per clock on each stream.
    Backpressure: o_msg stalls `send` and the end of events; a core without a free slot stalls i_msg.
    Drop: COUNTERS bad_message (see ClusterBusInterface), bad_command (see ClusterDma).
    Reset: cores idle, queues empty; instruction memory and data memories keep their contents.
    """

    @staticmethod
    def counters(params):
        """COUNTERS of a cluster with params.cores cores."""
        return (*(f"core{core}_{name}" for core in range(params.cores) for name in _PER_CORE),
                *_PULSES, "recorded", *ClusterBusInterface.COUNTERS, *ClusterDma.COUNTERS)

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
            "i_imem": In(stream.Signature(InstructionWrite)),
            "now": In(32), "cycles": In(32), "isn_clock": In(32), "epoch": In(32),
            "active": In(1), "sync_ready": In(1), "fast_ready": In(1), "pool_status": In(8), "protect": In(1),
            "cfg": In(ConfigWord),
            "runaway": In(RUNAWAY_BITS), "halt": In(cores), "stuck": In(cores), "waiting": Out(cores),
            "busy": Out(cores), "trapped": Out(cores), "trap_code": Out(data.ArrayLayout(8, cores)),
            "trap_pc": Out(data.ArrayLayout(PC_BITS, cores)), "count": Out(len(self.COUNTERS)),
            **({"activity": Out(activity_layout(params)[0].shape)} if activity else {}),
        })

    def elaborate(self, platform):
        m = Module()
        params = self._params
        m.submodules.program = program = InstructionMemory(params, image=self._image, index=self._index)
        m.submodules.bus = bus = ClusterBusInterface(params, index=self._index)
        m.submodules.dma = dma = ClusterDma(params)
        m.submodules.tap = tap = RecordTap(params)
        m.submodules.writes = writes = StreamMerge(FlowstateWrite)
        m.submodules.csrs = csrs = CsrFile(params, index=self._index)
        wiring.connect(m, bus.o, tap.i)
        wiring.connect(m, tap.o_write, writes.i[0])
        wiring.connect(m, dma.o_write, writes.i[1])
        for inner, outer in (
            (bus.i, self.i_msg), (tap.o, self.o_msg), (dma.i, self.i_dma), (dma.o_done, self.o_dma_done),
            (dma.o_read, self.o_fs_read), (dma.i_data, self.i_fs_data), (writes.o, self.o_fs_write),
            (program.i, self.i_imem),
        ):
            wiring.connect(m, inner, wiring.flipped(outer))
        m.d.comb += [
            csrs.now.eq(self.now), csrs.cycles.eq(self.cycles), csrs.isn_clock.eq(self.isn_clock),
            csrs.epoch.eq(self.epoch), csrs.active.eq(self.active), csrs.sync_ready.eq(self.sync_ready),
            csrs.fast_ready.eq(self.fast_ready), csrs.pool_status.eq(self.pool_status), csrs.protect.eq(self.protect), csrs.cfg.eq(self.cfg),
            dma.event.eq(bus.event), dma.event_valid.eq(bus.event_valid),
            bus.event_ready.eq(dma.event_ready),
        ]
        if self._shows_activity:
            probe_beats(m, self.activity.i, self.i_msg)
            probe_beats(m, self.activity.o, self.o_msg)
        pulses = {name: [] for name in _PULSES}
        per_core, taken = [], []
        for number in range(params.cores):
            m.submodules[f"core{number}"] = core = ProtocolCore(params)
            m.submodules[f"memory{number}"] = store = DataMemory(params)
            m.submodules[f"slots{number}"] = slots = EventSlots(params)
            m.submodules[f"dirty{number}"] = dirty = DirtyLines(params)
            mine = dma.command.core == number
            chosen = mine << dma.command.workspace[:(params.workspaces - 1).bit_length()]
            wiring.connect(m, core.o, bus.core[number])
            m.d.comb += [
                program.address[number].eq(core.address), program.fetch[number].eq(core.fetch),
                core.word.eq(program.word[number]), core.fetch_ready.eq(program.ready[number] & ~self.stuck[number]),
                store.uses_read.eq(core.uses_read), store.uses_write.eq(core.uses_write),
                store.address.eq(core.memory_address), store.read.eq(core.memory_read),
                store.write.eq(core.memory_write), store.write_data.eq(core.memory_write_data),
                core.memory_read_data.eq(store.read_data),
                store.beat_address.eq(dma.address), store.beat_read.eq(dma.read & mine),
                store.beat_write.eq(dma.write[number]), store.beat_write_data.eq(dma.write_data),
                dma.read_data[number].eq(store.beat_read_data),
                slots.meta.eq(bus.meta), slots.commit.eq(bus.commit[number]),
                bus.tail[number].eq(slots.tail), bus.full[number].eq(slots.full),
                slots.load_start.eq(Mux(dma.load_start, chosen, 0)), slots.load_done.eq(Mux(dma.load_done, chosen, 0)),
                core.start.eq(slots.start & csrs.ready), core.void.eq(slots.void), core.halt.eq(self.halt[number]),
                core.event.eq(slots.head), core.slot.eq(slots.head_slot),
                slots.take.eq(core.take), slots.release.eq(core.release), slots.trap.eq(core.trapped),
                self.waiting[number].eq(core.o.valid & ~core.o.ready),
                dirty.store.eq(core.store), dirty.address.eq(core.store_address),
                dirty.clean.eq(Mux(mine, dma.clean, 0)), dirty.workspace.eq(dma.command.workspace),
                dma.dirty[number].eq(dirty.lines),
                csrs.number[number].eq(core.csr), csrs.conn[number].eq(slots.head.conn),
                tap.conn[number].eq(slots.head.conn),
                core.csr_value.eq(csrs.value[number]), core.runaway.eq(self.runaway),
                self.busy[number].eq(core.busy), self.trap_code[number].eq(core.trap_code),
                self.trap_pc[number].eq(core.trap_pc),
            ]
            if self._shows_activity:
                probe_core(m, self.activity.cores[number], core, slots)
            with m.If(core.trapped):
                m.d.sync += self.trapped[number].eq(1)
            for name, pulse in (("traps", core.trapped), ("cut_messages", core.cut), ("voided", core.voided), ("released", core.released)):
                pulses[name].append(pulse)
            # each clock is one of the three
            counts = Signal(len(_PER_CORE), name=f"counts{number}")
            m.d.sync += counts.eq(Cat(core.busy & ~core.waiting, core.waiting, ~core.busy, core.release))
            per_core.append(counts)
            taken.append(store.beat_taken)
        m.d.comb += dma.taken.eq(Cat(taken).any())
        singles = []
        for name, bits in pulses.items():
            m.submodules[f"count_{name}"] = total = PulseSum(params.cores)
            m.d.comb += total.i.eq(Cat(bits))
            singles.append(total.o)
        m.d.comb += self.count.eq(Cat(*per_core, *singles, tap.recorded, bus.count, dma.count))
        return m
