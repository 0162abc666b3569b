"""One SPPS: every block of the architecture, wired."""
from amaranth.hdl import Cat, EnableInserter, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .bus import DmaBus, FlowstateBus, InstructionBus, MessageBus
from .cluster import ProtocolCluster
from .director import FlowDirector
from .echo import EchoResponder
from .egress import OutputProcessor
from .events import EventQueue
from .failover import FailoverUnit
from .layouts.activity import activity_layout
from .layouts.config import CONFIG_INDEX, ConfigWord
from .layouts.event import Event
from .layouts.lookup import LookupCommand
from .layouts.packet import packet_signature, spi4_signature
from .layouts.register import RegisterRequest
from .lib import StreamArbiter, TickCounter
from .lookup import FlowstateMemory, LookupController, TimerUnit
from .mmc import Mmc, block_counters, counting_blocks
from .neighbour import Announcer, NeighbourTable
from .params import TINY, checked_params
from .scratchpad import FrameAdmission, Scratchpad
from .socket import Geometry, SocketMemoryController, axi_signature
from .spi4 import Spi4Sink, Spi4Source
from .splitter import MessageSplitter

__all__ = ["PROBES", "Spps", "spps_signature"]

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
        "enable": In(1, init=1), "unit": In(1), "detector": In(1), "role_init": In(1),
        "active": Out(1), "epoch": Out(16), "steer": Out(1),
        **{name: Out(32) for name in PROBES},
        **({"activity": Out(activity_layout(params))} if activity else {}),
        **({"axi": Out(axi_signature(Geometry(params)))} if params.socket_memory == "axi4" else {}),
    })


def _each(m, sources, sinks):
    """Connect streams pairwise."""
    for source, sink in zip(sources, sinks):
        wiring.connect(m, source, sink)


class Spps(wiring.Component):
    """A stateful protocol processing system: SPI-4 in, SPI-4 out, a sync link and registers.

    Parameters
    ----------
    params : SppsParams
        Sizes.
    image : list of int, 36-bit words
        Microcode that every cluster holds after reset; by default the program in `ucode/programs`.
    activity : bool
        With the port `activity`, for traces in simulation.

    Members
    -------
    i_spi4, o_spi4 : In, Out(SPI-4 words)
        Frames of all ports, both ways.
    status_o, status_i : Out, In(2 bits × params.ports)
        FIFO status: of our sink, and of the sink that our source sends to; 0 starving, 1 hungry, 2 satisfied.
    i_sync, o_sync : In, Out(stream of packet)
        The link to the other unit.
    i_mmc, o_mmc : In(stream of RegisterRequest), Out(stream of 32 bits)
        Register access; reads are answered, writes are not.
    enable : In(1)
        0 freezes every register and memory; what is connected must not hand over words then.
    unit, detector, role_init : In(1)
        Number in the pair; the other unit is dead; 1: active after reset. Registers of these names say the same.
    active, epoch : Out(1), Out(16)
        State of failover.
    steer : Out(1)
        1: frames from outside are to wait, because this unit hands its role over. Whoever cannot make them wait leaves
        it open; then some are lost.
    issued, confirmed, delivered, done, copied : Out(32)
        Sync records issued and confirmed, events delivered and ended, payloads copied; for traces.
    activity : Out(layouts.activity)
        What the cores do in this clock; zero while disabled. With `activity` only.
    axi : Out(AXI4)
        External socket memory. With `socket_memory="axi4"` only.

    Timing
    ------
    Latency about 1000 clocks from a data segment to the segment sent on. Throughput: `spps bench`. Backpressure is the
    SPI-4 status.

    Drop
    ----
    See the blocks; each reason is a counter of the register map.

    Reset
    -----
    Synchronous; then some thousand clocks in which tables are swept and events wait.

    Source
    ------
    Patent F2, F7.
    """

    def __init__(self, params=TINY, *, image=None, activity=False):
        params = checked_params(params)
        self.params, self.shows_activity = params, activity
        super().__init__(spps_signature(params, activity))
        if image is None:
            from .ucode.asm import AssemblerError
            from .ucode.programs import default_image
            try:
                image = default_image(imem_words=params.imem_words, connections=params.connections).words
            except AssemblerError as error:
                raise ValueError(f"imem_words={params.imem_words}: too few for the default program: {error}") from error
        self.sink = Spi4Sink(params)
        self.admission = FrameAdmission(params)
        self.splitter = MessageSplitter(params)
        self.echo = EchoResponder(params)
        self.scratchpad = Scratchpad(params)
        self.events = EventQueue(params)
        self.lookup = LookupController(params)
        self.timers = TimerUnit(params)
        self.flowstate = FlowstateMemory(params)
        self.director = FlowDirector(params)
        self.bus = MessageBus(params)
        self.dma_bus = DmaBus(params)
        self.flowstate_bus = FlowstateBus(params)
        self.instruction_bus = InstructionBus(params)
        self.clusters = [ProtocolCluster(params, image=image, index=n, activity=activity)
                         for n in range(params.clusters)]
        self.socket = SocketMemoryController(params)
        self.failover = FailoverUnit(params)
        self.egress = OutputProcessor(params)
        self.neighbours = NeighbourTable(params)
        self.announcer = Announcer(params)
        self.source = Spi4Source(params)
        self.ticks = TickCounter()
        self.mmc = Mmc(params, block_counters(params))

    def elaborate(self, platform):
        m = Module()
        self._add_blocks(m)
        self._wire_ingress(m)
        self._wire_dispatch(m)
        self._wire_clusters(m)
        self._wire_egress(m)
        self._wire_registers(m)
        self._wire_failover(m)
        self._wire_probes(m)
        return EnableInserter(self.enable)(m)

    def _add_blocks(self, m):
        for name, value in vars(self).items():
            if isinstance(value, wiring.Component):
                m.submodules[name] = value
        for n, cluster in enumerate(self.clusters):
            m.submodules[f"cluster_{n}"] = cluster

    def _wire_ingress(self, m):
        """Words of SPI-4 to frames, frames to payload and events; chains of the scratchpad come back."""
        wiring.connect(m, wiring.flipped(self.i_spi4), self.sink.i)
        wiring.connect(m, self.sink.o, self.admission.i)
        wiring.connect(m, self.admission.o, self.splitter.i)
        wiring.connect(m, self.splitter.o_payload, self.scratchpad.i)
        wiring.connect(m, self.scratchpad.o_page, self.splitter.i_page)
        m.submodules.free_arbiter = frees = StreamArbiter(unsigned(16), 4, packets=False)
        _each(m, (self.splitter.o_free, self.lookup.o_drop, self.director.o_drop, self.socket.o_free), frees.i)
        wiring.connect(m, frees.o, self.scratchpad.i_free)
        wiring.connect(m, self.splitter.o_event, self.events.i)
        m.submodules.event_arbiter = events = StreamArbiter(Event, 2, packets=False)
        _each(m, (self.events.o, self.neighbours.o_event), events.i)
        wiring.connect(m, events.o, self.lookup.i_event)
        wiring.connect(m, self.splitter.o_message, self.echo.i_message)
        wiring.connect(m, self.splitter.o_echo, self.echo.i_request)
        m.d.comb += [self.admission.free_pages.eq(self.scratchpad.free_pages),
                     self.admission.close.eq(self.failover.close), self.status_o.eq(self.sink.status)]

    def _wire_dispatch(self, m):
        """Events to their connection, connections to cores."""
        lookup, timers, director, bus = self.lookup, self.timers, self.director, self.bus
        m.submodules.command_arbiter = commands = StreamArbiter(LookupCommand, 3, packets=False)
        _each(m, (bus.o_lookup, director.o_free, self.failover.o_lookup), commands.i)
        wiring.connect(m, commands.o, lookup.i_cmd)
        wiring.connect(m, bus.o_replay, lookup.i_replay)
        wiring.connect(m, lookup.o_event, director.i_event)
        wiring.connect(m, timers.o_timer, director.i_timer)
        wiring.connect(m, director.o_answer, timers.i_answer)
        wiring.connect(m, director.o_set, timers.i_set)
        wiring.connect(m, director.o_delivery, bus.i_delivery)
        wiring.connect(m, bus.o_done, director.i_done)
        m.d.comb += [
            timers.now.eq(self.ticks.now), timers.hold.eq(self.failover.steer), timers.kick.eq(self.failover.kick),
            timers.kick_ready.eq(self.failover.kick_ready), self.failover.kicked.eq(timers.kicked),
            self.failover.quiet.eq(timers.quiet & director.idle), self.failover.in_use.eq(lookup.in_use),
            self.failover.exposed.eq(lookup.exposed), self.failover.sweeping.eq(lookup.sweeping),
            lookup.uncover.eq(self.failover.uncover), self.failover.cfg.eq(self.mmc.cfg),
            director.now.eq(self.ticks.now), director.standby.eq(~self.failover.status.active),
            director.fence.waiting.eq(Cat(cluster.waiting for cluster in self.clusters)),
            lookup.active.eq(self.failover.status.active),
            # the timers walk after a takeover or a join only, and then no switch-over is under way
            lookup.scan_conn.eq(Mux(self.failover.scanning, self.failover.scan_conn, timers.scan_conn)),
            timers.scan_valid.eq(lookup.scan_valid), self.failover.scan_valid.eq(lookup.scan_valid),
        ]

    def _wire_clusters(self, m):
        """Messages, flowstates, instruction words and CSRs of each cluster."""
        dma, flowstates, status = self.dma_bus, self.flowstate_bus, self.failover.status
        wiring.connect(m, self.director.o_dma, dma.i)
        wiring.connect(m, dma.o, self.director.i_dma_done)
        wiring.connect(m, flowstates.o_read, self.flowstate.i_read)
        wiring.connect(m, self.flowstate.o_data, flowstates.i_data)
        wiring.connect(m, flowstates.o_write, self.flowstate.i_write)
        wiring.connect(m, self.failover.o_fs_write, flowstates.i_write[-1])
        cores = self.params.cores
        # a switch-over stops sources as low memory does: right edges stand still
        pool_status = Signal.like(self.socket.pool_status)
        m.d.comb += [pool_status.ready.eq(self.socket.pool_status.ready),
                     pool_status.open.eq(self.socket.pool_status.open
                                         & ~self.failover.draining.replicate(len(pool_status.open)))]
        cfg = Signal(ConfigWord)    # after a clean switch-over one ACK opens the window, and no peer has to send again
        acks = CONFIG_INDEX["takeover_acks"]
        m.d.comb += cfg.eq(self.mmc.cfg)
        with m.If(status.active & self.failover.clean_before & (self.mmc.cfg.index == acks)
                  & (self.mmc.cfg.value != 0)):
            m.d.comb += cfg.value.eq(1)
        for n, cluster in enumerate(self.clusters):
            wiring.connect(m, self.bus.o_cluster[n], cluster.i_msg)
            wiring.connect(m, cluster.o_msg, self.bus.i_cluster[n])
            wiring.connect(m, dma.o_cluster[n], cluster.i_dma)
            wiring.connect(m, cluster.o_dma_done, dma.i_cluster[n])
            wiring.connect(m, cluster.o_fs_read, flowstates.i_read[n])
            wiring.connect(m, flowstates.o_data[n], cluster.i_fs_data)
            wiring.connect(m, cluster.o_fs_write, flowstates.i_write[n])
            wiring.connect(m, self.instruction_bus.o[n], cluster.i_imem)
            csr, mine = cluster.csr, slice(n * cores, (n + 1) * cores)
            m.d.comb += [
                csr.now.eq(self.ticks.now), csr.cycles.eq(self.ticks.cycles), csr.isn_clock.eq(status.isn_clock),
                csr.epoch.eq(Cat(status.epoch, status.joins)), csr.active.eq(status.active),
                csr.sync_ready.eq(status.sync_ready), csr.protect.eq(status.protect),
                csr.pool_status.eq(pool_status),
                csr.fast_ready.eq(status.sync_ready & self.socket.pools_ready & ~self.failover.draining),
                csr.cfg.eq(cfg),
                cluster.runaway.eq(self.mmc.runaway), cluster.halt.eq(self.director.fence.fenced[mine]),
                cluster.stuck.eq(self.mmc.fault_stuck[mine]),
            ]

    def _wire_egress(self, m):
        """Commands of the cores: payload into socket memory, records, frames out."""
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
        wiring.connect(m, self.echo.o, egress.i_echo)
        wiring.connect(m, self.announcer.o, egress.i_announce)
        wiring.connect(m, egress.o_hop, self.neighbours.i_query)
        wiring.connect(m, self.neighbours.o_answer, egress.i_hop)
        wiring.connect(m, self.bus.o_learn, self.neighbours.i_learn)
        wiring.connect(m, egress.o, self.source.i)
        wiring.connect(m, self.source.o, wiring.flipped(self.o_spi4))
        m.d.comb += [
            self.source.status.eq(self.status_i),
            socket.active.eq(failover.status.active), self.echo.active.eq(failover.status.active),
            egress.emit_enable.eq(failover.status.emit_enable),
            self.neighbours.active.eq(failover.status.emit_enable), self.neighbours.now.eq(self.ticks.now),
            self.announcer.active.eq(failover.status.active), self.announcer.now.eq(self.ticks.now),
            self.announcer.enable.eq(failover.status.emit_enable),
        ]

    def _wire_registers(self, m):
        """Registers to the blocks, status and counters back."""
        mmc, mac, fence = self.mmc, Signal(48), self.director.fence
        vip = Cat(mmc.cfg_vip_0, mmc.cfg_vip_1)
        wiring.connect(m, wiring.flipped(self.i_mmc), mmc.i)
        wiring.connect(m, mmc.o, wiring.flipped(self.o_mmc))
        wiring.connect(m, mmc.o_imem, self.instruction_bus.i)
        wiring.connect(m, mmc.neighbour, self.neighbours.config)
        wiring.connect(m, mmc.announcer, self.announcer.config)
        self._share_window(m, (mmc.o_flowstate, self.failover.o_word), (mmc.i_flowstate, self.failover.i_word))
        m.d.comb += [
            mac.eq(Cat(mmc.cfg_mac_lo, mmc.cfg_mac_hi[:16])), self.splitter.mac.eq(mac), self.egress.mac.eq(mac),
            self.announcer.mac.eq(mac), self.announcer.vip.eq(vip),
            self.splitter.vip.eq(vip), self.neighbours.vip.eq(vip), mmc.neighbours_known.eq(self.neighbours.known),
            self.splitter.vlan.eq(mmc.vlan),
            self.splitter.tcp_flag_filter.eq(mmc.tcp_flag_filter), self.egress.ttl.eq(mmc.ttl),
            self.echo.mac.eq(mac), self.echo.ttl.eq(mmc.ttl), self.echo.limit.eq(mmc.echo_limit),
            self.echo.now.eq(self.ticks.now),
            self.source.burst_blocks.eq(mmc.burst_blocks), self.ticks.tick_cycles.eq(mmc.tick_cycles),
            self.lookup.secret.eq(Cat(mmc.secret_0, mmc.secret_1)), self.lookup.half_open_limit.eq(mmc.half_open_limit),
            self.lookup.silent.eq(mmc.refuse_silently),
            self.director.masks.eq(mmc.masks), self.director.core_enable.eq(mmc.core_enable),
            self.director.round_robin.eq(mmc.core_choice), fence.limit.eq(mmc.watchdog), fence.lift.eq(mmc.fence_lift),
            self.socket.low_watermark.eq(mmc.socket_low_watermark),
            mmc.now.eq(self.ticks.now), mmc.free_pages.eq(self.scratchpad.free_pages),
            mmc.in_use.eq(self.lookup.in_use), mmc.half_open.eq(self.lookup.half_open),
            mmc.timers_armed.eq(self.timers.armed), mmc.fenced_cores.eq(fence.fenced),
            mmc.gate_level.eq(self.failover.level), mmc.gate_high_water.eq(self.failover.high_water),
            mmc.event_level.eq(self.events.level), mmc.event_high_water.eq(self.events.high_water),
            *(getattr(mmc, f"socket_free_{pool}").eq(level) for pool, level in enumerate(self.socket.free)),
            *(getattr(mmc, f"socket_lowest_{pool}").eq(level) for pool, level in enumerate(self.socket.lowest)),
            *(getattr(mmc, f"outstanding_{core}").eq(level) for core, level in enumerate(self.director.outstanding)),
            *(getattr(mmc, f"count_{name}").eq(block.count) for name, block in counting_blocks(self).items()),
        ]
        for n, cluster in enumerate(self.clusters):
            for core in range(self.params.cores):
                pc = cluster.trap_pc[core]
                m.d.comb += getattr(mmc, f"trap_{n * self.params.cores + core}").eq(
                    Cat(pc, Signal(16 - len(pc)), cluster.trap_code[core]))

    def _share_window(self, m, asks, answers):
        """Words of flowstate memory, for the host and for a switch-over; one is asked for at a time."""
        window, answer = self.flowstate.i_window, self.flowstate.o_window
        host, scan = asks
        choice, locked, turn, waits = Signal(), Signal(), Signal(), Signal()     # 0 host, 1 switch-over
        m.d.comb += [
            choice.eq(Mux(locked, turn, ~host.valid)),
            window.payload.eq(Mux(choice, scan.payload.as_value(), host.payload.as_value())),
            window.valid.eq(Mux(choice, scan.valid, host.valid) & ~waits),
            host.ready.eq(window.ready & ~waits & ~choice), scan.ready.eq(window.ready & ~waits & choice),
        ]
        with m.If(window.valid):
            m.d.sync += [locked.eq(~window.ready), turn.eq(choice), waits.eq(window.ready)]
        with m.If(answer.valid):
            m.d.sync += waits.eq(0)
        for n, port in enumerate(answers):
            m.d.comb += [port.payload.eq(answer.payload), port.valid.eq(answer.valid & (turn == n))]

    def _wire_failover(self, m):
        """The sync link, configuration and status. Some registers have a pin that says the same."""
        failover, registers = self.failover, self.mmc.failover
        wiring.connect(m, failover.o_sync, wiring.flipped(self.o_sync))
        wiring.connect(m, wiring.flipped(self.i_sync), failover.i_sync)
        wiring.connect(m, registers, failover.config)
        wiring.connect(m, failover.status, self.mmc.failover_status)
        m.d.comb += [       # in place of what connect() has assigned
            failover.config.detector.eq(self.detector | registers.detector),
            failover.config.unit.eq(self.unit | registers.unit),
            failover.config.role_init.eq(Mux(registers.role_load, registers.role_init, self.role_init)),
            failover.now.eq(self.ticks.now), self.ticks.load.eq(failover.tick_load), self.ticks.tick.eq(failover.tick),
            self.active.eq(failover.status.active), self.epoch.eq(failover.status.epoch), self.steer.eq(failover.steer),
            failover.busy.eq(
                self.admission.o.valid | self.sink.o.valid & ~failover.close | (self.events.level != 0)
                | self.events.o.valid | self.neighbours.o_event.valid | self.lookup.o_event.valid
                | ~self.timers.quiet | ~self.director.idle | self.bus.o_socket.valid | self.socket.o_cmd.valid
                | self.egress.o_read.valid | self.egress.o.valid
                | (self.scratchpad.free_pages != self.params.scratch_pages)),
        ]

    def _wire_probes(self, m):
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
