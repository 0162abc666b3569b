"""Failover: everything between the command chain and egress that makes a standby possible."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..layouts.config import ConfigWord
from ..layouts.dma import FlowstateWord, FlowstateWrite
from ..layouts.lookup import LookupCommand
from ..layouts.message import MessageHeader, MessageKind, beat_signature
from ..layouts.packet import packet_signature
from .ack_gate import AckGate
from .record_store import RecordStore
from .signature import FailoverConfig, FailoverStatus
from .switch_over import SwitchOver
from .sync_port import SyncPort

__all__ = ["FailoverUnit"]


class FailoverUnit(wiring.Component):
    """Sync port and ACK gate on one ordered command stream.

    A record and the outputs behind it keep their order, because the header of an output is tagged with the number of
    the record before it.

    Parameters
    ----------
    params : SppsParams
        Sizes. Raises ValueError when `replay_records` is less than two per core.

    Members
    -------
    i_cmd : In(stream of beats)
        SYNC and OUTPUT messages in order, no others: the kind is judged by the bus router (`bus.MessageRouter`), and
        the socket memory controller passes only these two on. Here every message that is not SYNC is an OUTPUT.
    o_cmd : Out(stream of beats)
        OUTPUT messages, to egress.
    o_sync, i_sync : Out(stream of packet), In(stream of packet)
        The sync link.
    o_fs_write, o_lookup : Out(stream(FlowstateWrite)), Out(stream(LookupCommand))
        Lines and keys of the peer's records; connections of this unit of which the peer gets a full record.
    cfg, in_use, exposed, sweeping, uncover, quiet, kick, kick_ready, kicked
        See `SyncPort`.
    now, tick_load, tick : In(32), Out(1), Out(32), ticks
        The tick counter, and the value from which it is to continue, see `RoleControl`.
    busy : In(1)
        Something is under way in the unit, from a frame that comes in to one that leaves.
    draining, steer, close, scanning, scan_conn, scan_valid, o_word, i_word
        Of a planned switch-over, see `SwitchOver`.
    clean_before : Out(1)
        See `RoleControl`.
    level, high_water : Out(range(gate_depth + 1)), outputs
        Outputs held by the gate, and the most since reset.
    config, status : In(FailoverConfig), Out(FailoverStatus)
        Registers.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    See `SyncPort` and `AckGate`. `i_cmd` waits at a SYNC while the replay ring is full, and at an ungated OUTPUT
    while egress waits.

    Drop
    ----
    See the parts.

    Reset
    -----
    Role from `role_init`.

    Source
    ------
    Patent §X.B; hdl/spps/failover/README.md.
    """

    COUNTERS = SyncPort.COUNTERS | AckGate.COUNTERS | SwitchOver.COUNTERS

    def __init__(self, params):
        RecordStore.check(params)
        self.params = params
        depth = params.gate_depth
        super().__init__({
            "i_cmd": In(beat_signature()), "o_cmd": Out(beat_signature()),
            "o_sync": Out(packet_signature(params.data_width)), "i_sync": In(packet_signature(params.data_width)),
            "o_fs_write": Out(stream.Signature(FlowstateWrite)), "o_lookup": Out(stream.Signature(LookupCommand)),
            "cfg": In(ConfigWord), "in_use": In(17), "exposed": In(17), "sweeping": In(1), "uncover": Out(1),
            "quiet": In(1), "kick": Out(1), "kick_ready": Out(1), "kicked": In(1),
            "now": In(32), "tick_load": Out(1), "tick": Out(32),
            "busy": In(1), "draining": Out(1), "steer": Out(1), "close": Out(1),
            "clean_before": Out(1),
            "scanning": Out(1), "scan_conn": Out(16), "scan_valid": In(1),
            "o_word": Out(stream.Signature(FlowstateWord)),
            "i_word": In(stream.Signature(unsigned(32), always_ready=True)),
            "level": Out(range(depth + 1)), "high_water": Out(range(depth + 1)),
            "config": In(FailoverConfig()), "status": Out(FailoverStatus()),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.sync = sync = SyncPort(self.params)
        m.submodules.gate = gate = AckGate(self.params)
        m.submodules.switch = switch = SwitchOver(self.params)

        # The path from i_cmd to `issued` has one register: an output's header meets the number of the record before it.
        first, held, to_sync = Signal(init=1), Signal(), Signal()
        header = MessageHeader(self.i_cmd.payload.data)
        m.d.comb += [
            to_sync.eq(Mux(first, header.kind == MessageKind.SYNC, held)),
            sync.i.payload.eq(self.i_cmd.payload), sync.i.valid.eq(self.i_cmd.valid & to_sync),
            gate.i_cmd.payload.eq(self.i_cmd.payload), gate.i_cmd.valid.eq(self.i_cmd.valid & ~to_sync),
            self.i_cmd.ready.eq(Mux(to_sync, sync.i.ready, gate.i_cmd.ready)),
        ]
        with m.If(self.i_cmd.valid & self.i_cmd.ready):
            m.d.sync += [first.eq(self.i_cmd.payload.last), held.eq(to_sync)]

        connect(m, sync.o_sync, flipped(self.o_sync))
        connect(m, flipped(self.i_sync), sync.i_sync)
        connect(m, sync.o_fs_write, flipped(self.o_fs_write))
        connect(m, sync.o_lookup, flipped(self.o_lookup))
        connect(m, gate.o_cmd, flipped(self.o_cmd))
        connect(m, flipped(self.config), sync.config)
        connect(m, sync.status, flipped(self.status))
        m.d.comb += [
            gate.issued.eq(sync.status.issued), gate.confirmed.eq(sync.status.confirmed),
            gate.flush.eq(~sync.status.active), sync.now.eq(self.now),
            self.tick_load.eq(sync.tick_load), self.tick.eq(sync.tick),
            *(getattr(self, name).eq(getattr(sync, name)) for name in ("kick", "kick_ready", "uncover")),
            *(getattr(sync, name).eq(getattr(self, name))
              for name in ("cfg", "in_use", "exposed", "sweeping", "quiet", "kicked")),
            self.level.eq(gate.level), self.high_water.eq(gate.high_water),
            self.count.eq(Cat(sync.count, gate.count, switch.count)),
        ]
        self._switch_over(m, sync, gate, switch)
        return m

    def _switch_over(self, m, sync, gate, switch):
        """Planned switch-over: what it looks at, and what it does."""
        status = sync.status
        connect(m, flipped(self.config), switch.config)
        connect(m, switch.o_word, flipped(self.o_word))
        connect(m, flipped(self.i_word), switch.i_word)
        under_way = Signal()
        m.d.sync += under_way.eq(self.busy | self.i_cmd.valid | self.o_cmd.valid | (gate.level != 0))
        m.d.comb += [
            switch.active.eq(status.active), switch.joined.eq(sync.status.protect),
            switch.protected.eq(status.protect & status.lease_valid & ~status.unprotected & ~status.resync
                                & (self.exposed == 0) & ~self.sweeping),
            switch.settled.eq(status.issued == status.confirmed), switch.busy.eq(under_way),
            sync.muted.eq(switch.mute), sync.yielded.eq(switch.yielded), sync.handover.eq(switch.handover),
            sync.clean.eq(switch.clean), self.clean_before.eq(sync.clean_before),
            self.draining.eq(switch.draining), self.steer.eq(switch.steer), self.close.eq(switch.close),
            self.scanning.eq(switch.scanning), self.scan_conn.eq(switch.conn), switch.valid.eq(self.scan_valid),
            # in place of what connect() has assigned
            self.status.switch_state.eq(switch.state), self.status.switch_verdict.eq(switch.verdict),
            self.status.switch_clocks.eq(switch.clocks), self.status.switch_hold_clocks.eq(switch.hold_clocks),
        ]
