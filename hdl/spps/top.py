"""One SPPS: every block of the architecture, wired."""
from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .bus import MessageBus
from .cluster import ProtocolCluster
from .director import FlowDirector
from .egress import OutputProcessor
from .events import EventQueue
from .failover import FailoverUnit
from .layouts.activity import activity_layout
from .layouts.dma import ClusterDma, FlowstateBeat, FlowstateWrite
from .layouts.lookup import LookupCommand
from .layouts.packet import packet_signature, spi4_signature
from .layouts.register import InstructionWrite, RegisterRequest
from .lib import ReadShare, StreamArbiter, StreamDemux, TickCounter
from .lookup import FlowstateMemory, LookupController, TimerUnit
from .mmc import Mmc, block_counters, counting_blocks
from .params import TINY
from .scratchpad import FrameAdmission, Scratchpad
from .socket import Geometry, SocketMemoryController, axi_signature
from .spi4 import Spi4Sink, Spi4Source
from .splitter import MessageSplitter

__all__ = ["Spps", "spps_signature", "PROBES"]


#: counters that campaigns and traces watch
PROBES = ("issued", "confirmed", "delivered", "done", "copied")


def spps_signature(params, activity=False):
    """Ports of an SPPS, see Spps."""
    width = params.data_width
    return wiring.Signature({
        "i_spi4": In(spi4_signature(width)), "status_o": Out(data.ArrayLayout(2, params.ports)),
        "o_spi4": Out(spi4_signature(width)), "status_i": In(data.ArrayLayout(2, params.ports)),
        "i_sync": In(packet_signature(width)), "o_sync": Out(packet_signature(width)),
        "i_mmc": In(stream.Signature(RegisterRequest)), "o_mmc": Out(stream.Signature(unsigned(32))),
        "enable": In(1, init=1), "unit": In(1), "detector": In(1), "role_init": In(1), "active": Out(1), "epoch": Out(16),
        **{name: Out(32) for name in PROBES},
        **({"activity": Out(activity_layout(params))} if activity else {}),
        **({"axi": Out(axi_signature(Geometry(params)))} if params.socket_memory == "axi4" else {}),
    })


class Spps(wiring.Component):
    """A stateful protocol processing system: SPI-4 in, SPI-4 out, a sync link and registers.

    Source: patent F2, F7.

    Parameters
    ----------
    params : SppsParams. image : microcode words, default the program in ucode/programs. activity : with a port that tells what the cores do.

    Members
    -------
    i_spi4, o_spi4, status_o, status_i : SPI-4 with the FIFO status of each direction. i_sync, o_sync : sync link.
    i_mmc, o_mmc : register access. enable : 0 freezes every register and memory (the streams' neighbours must not hand over then).
    axi : external memory, with socket_memory="axi4".
    unit : number in the pair, names the sender of sync frames. detector, role_init : failover inputs. active, epoch : failover state. PROBES : counters for traces. activity : see layouts.activity; zero while disabled.

    Latency: about 1000 clocks from a data segment to the segment sent on. Throughput: see the README's figures.
    Backpressure: SPI-4 status. Reset: synchronous, then some thousand clocks of table sweep during which events wait.
    """

    def __init__(self, params=TINY, *, image=None, activity=False):
        self.params, self.image, self.shows_activity = params, image, activity
        super().__init__(spps_signature(params, activity))

    def elaborate(self, platform):
        m = Module()
        self.make_blocks(m)
        self.wire_ingress(m)
        self.wire_dispatch(m)
        self.wire_clusters(m)
        self.wire_egress(m)
        self.wire_registers(m)
        self.wire_probes(m)
        return EnableInserter(self.enable)(m)

    def make_blocks(self, m):
        params = self.params
        if self.image is None:
            from .ucode.programs import default_image
            self.image = default_image(imem_words=params.imem_words, connections=params.connections).words
        m.submodules.spi4_sink = self.sink = Spi4Sink(params)
        m.submodules.admission = self.admission = FrameAdmission(params)
        m.submodules.splitter = self.splitter = MessageSplitter(params)
        m.submodules.scratchpad = self.scratchpad = Scratchpad(params)
        m.submodules.event_queue = self.events = EventQueue(params)
        m.submodules.lookup = self.lookup = LookupController(params)
        m.submodules.timers = self.timers = TimerUnit(params)
        m.submodules.flowstate = self.flowstate = FlowstateMemory(params)
        m.submodules.director = self.director = FlowDirector(params)
        m.submodules.bus = self.bus = MessageBus(params)
        self.clusters = []
        for n in range(params.clusters):
            cluster = ProtocolCluster(params, image=self.image, index=n, activity=self.shows_activity)
            m.submodules[f"cluster_{n}"] = cluster
            self.clusters.append(cluster)
        m.submodules.socket = self.socket = SocketMemoryController(params)
        m.submodules.failover = self.failover = FailoverUnit(params)
        m.submodules.egress = self.egress = OutputProcessor(params)
        m.submodules.spi4_source = self.source = Spi4Source(params)
        m.submodules.ticks = self.ticks = TickCounter()

    def wire_ingress(self, m):
        wiring.connect(m, wiring.flipped(self.i_spi4), self.sink.i)
        wiring.connect(m, self.sink.o, self.admission.i)
        wiring.connect(m, self.admission.o, self.splitter.i)
        m.d.comb += self.admission.free_pages.eq(self.scratchpad.free_pages)
        wiring.connect(m, self.splitter.o_payload, self.scratchpad.i)
        wiring.connect(m, self.scratchpad.o_page, self.splitter.i_page)
        m.submodules.free_arbiter = frees = StreamArbiter(unsigned(16), 4, packets=False)
        for port, stream_ in zip(frees.i, (self.splitter.o_free, self.lookup.o_drop, self.director.o_drop, self.socket.o_free)):
            wiring.connect(m, stream_, port)
        wiring.connect(m, frees.o, self.scratchpad.i_free)
        wiring.connect(m, self.splitter.o_event, self.events.i)
        wiring.connect(m, self.events.o, self.lookup.i_event)
        m.d.comb += self.status_o.eq(self.sink.status)

    def wire_dispatch(self, m):
        lookup, timers, director, bus = self.lookup, self.timers, self.director, self.bus
        m.submodules.command_arbiter = commands = StreamArbiter(LookupCommand, 3, packets=False)
        for port, stream_ in zip(commands.i, (bus.o_lookup, director.o_free, self.failover.o_lookup)):
            wiring.connect(m, stream_, port)
        wiring.connect(m, commands.o, lookup.i_cmd)
        wiring.connect(m, lookup.o_event, director.i_event)
        wiring.connect(m, timers.o_timer, director.i_timer)
        wiring.connect(m, director.o_answer, timers.i_answer)
        wiring.connect(m, director.o_set, timers.i_set)
        wiring.connect(m, director.o_delivery, bus.i_delivery)
        wiring.connect(m, bus.o_done, director.i_done)
        m.d.comb += [
            timers.now.eq(self.ticks.now), timers.kick.eq(self.failover.kick),
            director.now.eq(self.ticks.now), director.standby.eq(~self.failover.status.active),
            director.fence.waiting.eq(Cat(cluster.waiting for cluster in self.clusters)),
            lookup.active.eq(self.failover.status.active), lookup.scan_conn.eq(timers.scan_conn), timers.scan_valid.eq(lookup.scan_valid),
        ]

    def wire_clusters(self, m):
        count = self.params.clusters
        m.submodules.dma_demux = demux = StreamDemux(ClusterDma, count, lambda payload: payload.cluster)
        m.submodules.dma_done = dma_done = StreamArbiter(ClusterDma, count, packets=False)
        m.submodules.flowstate_read = reads = ReadShare(unsigned(16), FlowstateBeat, count)
        m.submodules.flowstate_write = writes = StreamArbiter(FlowstateWrite, count + 1, packets=False)
        wiring.connect(m, self.director.o_dma, demux.i)
        wiring.connect(m, dma_done.o, self.director.i_dma_done)
        wiring.connect(m, reads.o_request, self.flowstate.i_read)
        wiring.connect(m, self.flowstate.o_data, reads.i_answer)
        wiring.connect(m, writes.o, self.flowstate.i_write)
        wiring.connect(m, self.failover.o_fs_write, writes.i[count])
        for n, cluster in enumerate(self.clusters):
            wiring.connect(m, self.bus.o_cluster[n], cluster.i_msg)
            wiring.connect(m, cluster.o_msg, self.bus.i_cluster[n])
            wiring.connect(m, cluster.o_fs_read, reads.i_request[n])
            wiring.connect(m, reads.o_answer[n], cluster.i_fs_data)
            wiring.connect(m, cluster.o_fs_write, writes.i[n])
            m.d.comb += [
                cluster.i_dma.payload.eq(demux.o[n].payload.command), cluster.i_dma.valid.eq(demux.o[n].valid),
                demux.o[n].ready.eq(cluster.i_dma.ready),
                dma_done.i[n].payload.command.eq(cluster.o_dma_done.payload), dma_done.i[n].payload.cluster.eq(n),
                dma_done.i[n].valid.eq(cluster.o_dma_done.valid), cluster.o_dma_done.ready.eq(dma_done.i[n].ready),
                cluster.csr.now.eq(self.ticks.now), cluster.csr.cycles.eq(self.ticks.cycles), cluster.csr.isn_clock.eq(self.failover.status.isn_clock),
                cluster.csr.epoch.eq(self.failover.status.epoch), cluster.csr.active.eq(self.failover.status.active),
                cluster.csr.sync_ready.eq(self.failover.status.sync_ready), cluster.csr.pool_status.eq(self.socket.pool_status),
                cluster.csr.fast_ready.eq(self.failover.status.sync_ready & self.socket.pools_ready), cluster.csr.protect.eq(self.failover.status.protect),
            ]

    def wire_egress(self, m):
        socket, failover, egress = self.socket, self.failover, self.egress
        wiring.connect(m, self.bus.o_socket, socket.i_cmd)
        wiring.connect(m, socket.o_scratch, self.scratchpad.i_read)
        wiring.connect(m, self.scratchpad.o_data, socket.i_scratch)
        wiring.connect(m, socket.o_cmd, failover.i_cmd)
        wiring.connect(m, failover.o_cmd, egress.i_cmd)
        wiring.connect(m, egress.o_read, socket.i_read)
        wiring.connect(m, socket.o_data, egress.i_data)
        if self.params.socket_memory == "axi4":
            wiring.connect(m, socket.axi, wiring.flipped(self.axi))
        wiring.connect(m, egress.o, self.source.i)
        wiring.connect(m, self.source.o, wiring.flipped(self.o_spi4))
        wiring.connect(m, failover.o_sync, wiring.flipped(self.o_sync))
        wiring.connect(m, wiring.flipped(self.i_sync), failover.i_sync)
        m.d.comb += [
            socket.active.eq(failover.status.active), self.source.status.eq(self.status_i), egress.emit_enable.eq(failover.status.emit_enable),
            self.active.eq(failover.status.active), self.epoch.eq(failover.status.epoch),
        ]

    def wire_registers(self, m):
        """Registers to the nouns of the blocks, status and counters back."""
        m.submodules.mmc = mmc = Mmc(self.params, block_counters(self.params))
        wiring.connect(m, wiring.flipped(self.i_mmc), mmc.i)
        wiring.connect(m, mmc.o, wiring.flipped(self.o_mmc))
        failover, mac = self.failover, Signal(48)
        wiring.connect(m, mmc.failover, failover.config)
        wiring.connect(m, failover.status, mmc.failover_status)
        m.d.comb += [
            mac.eq(Cat(mmc.cfg_mac_lo, mmc.cfg_mac_hi[:16])), self.splitter.vip.eq(Cat(mmc.cfg_vip_0, mmc.cfg_vip_1)),
            self.splitter.mac.eq(mac), self.egress.mac.eq(mac), self.egress.ttl.eq(mmc.ttl),
            self.source.burst_blocks.eq(mmc.burst_blocks),
            self.lookup.secret.eq(Cat(mmc.secret_0, mmc.secret_1)),
            self.lookup.half_open_limit.eq(mmc.half_open_limit), mmc.half_open.eq(self.lookup.half_open),
            self.ticks.tick_cycles.eq(mmc.tick_cycles),
            self.director.masks.eq(mmc.masks), self.director.core_enable.eq(mmc.core_enable), self.director.round_robin.eq(mmc.core_choice),
            self.director.fence.limit.eq(mmc.watchdog), self.director.fence.lift.eq(mmc.fence_lift),
            mmc.fenced_cores.eq(self.director.fence.fenced),
            # registers that have a pin too: these assignments replace those of connect
            failover.config.detector.eq(self.detector | mmc.failover.detector), failover.config.unit.eq(self.unit | mmc.failover.unit),
            failover.config.role_init.eq(Mux(mmc.failover.role_load, mmc.failover.role_init, self.role_init)), failover.now.eq(self.ticks.now),
            self.ticks.load.eq(failover.tick_load), self.ticks.tick.eq(failover.tick),
            mmc.now.eq(self.ticks.now), mmc.gate_level.eq(failover.level), mmc.gate_high_water.eq(failover.high_water),
            mmc.free_pages.eq(self.scratchpad.free_pages), mmc.in_use.eq(self.lookup.in_use),
            mmc.timers_armed.eq(self.timers.armed),
            self.socket.low_watermark.eq(mmc.socket_low_watermark),
            *(getattr(mmc, f"socket_free_{pool}").eq(level) for pool, level in enumerate(self.socket.free)),
            *(getattr(mmc, f"socket_lowest_{pool}").eq(level) for pool, level in enumerate(self.socket.lowest)),
            mmc.event_level.eq(self.events.level), mmc.event_high_water.eq(self.events.high_water),
        ]
        for name, block in counting_blocks(self).items():
            m.d.comb += getattr(mmc, f"count_{name}").eq(block.count)
        m.submodules.imem_demux = imem = StreamDemux(InstructionWrite, len(self.clusters), lambda payload: payload.cluster)
        wiring.connect(m, mmc.o_imem, imem.i)
        wiring.connect(m, mmc.o_flowstate, self.flowstate.i_window)
        wiring.connect(m, self.flowstate.o_window, mmc.i_flowstate)
        for n, cluster in enumerate(self.clusters):
            wiring.connect(m, imem.o[n], cluster.i_imem)
            mine = slice(n * self.params.cores, (n + 1) * self.params.cores)
            m.d.comb += [
                cluster.csr.cfg.eq(mmc.cfg), cluster.runaway.eq(mmc.runaway), cluster.halt.eq(self.director.fence.fenced[mine]),
                cluster.stuck.eq(mmc.fault_stuck[mine]),
            ]
            for core in range(self.params.cores):
                number = n * self.params.cores + core
                m.d.comb += getattr(mmc, f"outstanding_{number}").eq(self.director.outstanding[number])
                m.d.comb += getattr(mmc, f"trap_{number}").eq(
                    Cat(cluster.trap_pc[core], Signal(16 - len(cluster.trap_pc[core])), cluster.trap_code[core]))

    def wire_probes(self, m):
        """Counters that campaigns and traces watch; not part of the register map."""
        taken = {
            "delivered": self.director.o_delivery.valid & self.director.o_delivery.ready,
            "done": self.bus.o_done.valid & self.bus.o_done.ready,
            "copied": self.socket.count.copies,
        }
        for name, pulse in taken.items():
            with m.If(pulse):
                m.d.sync += getattr(self, name).eq(getattr(self, name) + 1)
        m.d.comb += [self.issued.eq(self.failover.status.issued), self.confirmed.eq(self.failover.status.confirmed)]
        if self.shows_activity:
            with m.If(self.enable):
                m.d.comb += [self.activity[n].eq(cluster.activity) for n, cluster in enumerate(self.clusters)]
