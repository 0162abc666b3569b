"""The unit's end of the sync link."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..layouts.config import ConfigWord
from ..layouts.dma import FlowstateWrite
from ..layouts.lookup import LookupCommand, LookupOp
from ..layouts.message import beat_signature
from ..layouts.packet import packet_signature
from ..lib.packet_resize import PacketResize
from ..lib.stream_arbiter import StreamArbiter
from .config_digest import ConfigDigest
from .frame_receiver import FrameReceiver
from .frame_seal import FrameSeal
from .frame_sender import FrameSender
from .membership import Membership
from .record_applier import RecordApplier
from .record_store import RecordStore
from .resync import Resync
from .role_control import RoleControl
from .signature import KEYS, FailoverConfig, FailoverStatus
from .sync_frame import KEY_BITS, WORD

__all__ = ["SyncPort"]


class SyncPort(wiring.Component):
    """Numbers SYNC messages, keeps them until they are confirmed, applies those of the peer; role, takeover, rejoin.

    Parameters
    ----------
    params : SppsParams
        Sizes. Raises ValueError when `replay_records` is less than two per core.

    Members
    -------
    i : In(stream of beats)
        SYNC messages.
    o_sync, i_sync : Out(stream of packet), In(stream of packet)
        The link to the other unit.
    o_fs_write, o_lookup : Out(stream(FlowstateWrite)), Out(stream(LookupCommand))
        Lines and keys of the peer's records; connections of this unit of which the peer gets a full record.
    cfg : In(ConfigWord)
        The words of CONFIG, one after the other.
    in_use, exposed, sweeping : In(17), In(17), In(1)
        Connections, and those of them without a record at the standby; that count is being made anew.
    uncover : Out(1)
        One clock: no connection has a record at the standby.
    quiet : In(1)
        No event and no kick of a connection is under way.
    kick, kick_ready, kicked : Out(1), Out(1), In(1)
        One clock: every connection gets a KICK event. One may leave. One does.
    muted, yielded, handover, clean : In(1)
        Of a planned switch-over, see `SwitchOver`.
    clean_before : Out(1)
        See `RoleControl`.
    now, tick_load, tick : In(32), Out(1), Out(32), ticks
        The tick counter, and the value from which it is to continue, see `RoleControl`.
    config, status : In(FailoverConfig), Out(FailoverStatus)
        Registers.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency 82 clocks from the last beat of a delta until the other unit has applied it, over a direct 64-bit link.
    Throughput: a delta in 63 clocks, a full record in 143, which the tags take. `i` waits while the replay ring is
    full; `i_sync` waits while a tag is computed and while two frames wait to be applied.

    Drop
    ----
    Records and frames, counted by reason.

    Reset
    -----
    Number 0, role from `role_init`.

    Source
    ------
    Patent §X.B; architecture rules "sync records", "takeover is O(1)", "no two masters".
    """

    COUNTERS = (RecordStore.COUNTERS | FrameSender.COUNTERS | FrameReceiver.COUNTERS | RecordApplier.COUNTERS
                | RoleControl.COUNTERS | Membership.COUNTERS | Resync.COUNTERS)

    def __init__(self, params):
        self.params = params
        RecordStore.check(params)
        super().__init__({
            "i": In(beat_signature()),
            "o_sync": Out(packet_signature(params.data_width)), "i_sync": In(packet_signature(params.data_width)),
            "o_fs_write": Out(stream.Signature(FlowstateWrite)), "o_lookup": Out(stream.Signature(LookupCommand)),
            "cfg": In(ConfigWord), "in_use": In(17), "exposed": In(17), "sweeping": In(1), "uncover": Out(1),
            "quiet": In(1), "kick": Out(1), "kick_ready": Out(1), "kicked": In(1),
            "muted": In(1), "yielded": In(1), "handover": In(1), "clean": In(1),
            "clean_before": Out(1),
            "now": In(32), "tick_load": Out(1), "tick": Out(32),
            "config": In(FailoverConfig()), "status": Out(FailoverStatus()),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        width = self.params.data_width
        m.submodules.store = store = RecordStore(self.params)
        m.submodules.sender = sender = FrameSender()
        m.submodules.seal = seal = FrameSeal()
        m.submodules.receiver = receiver = FrameReceiver(self.params)
        m.submodules.applier = applier = RecordApplier()
        m.submodules.control = control = RoleControl()
        m.submodules.membership = membership = Membership()
        m.submodules.resync = resync = Resync()
        m.submodules.digest = digest = ConfigDigest()
        m.submodules.lookup_arbiter = lookups = StreamArbiter(LookupCommand, 2, packets=False)
        m.submodules.narrow = to_link = PacketResize(WORD, width)
        m.submodules.widen = from_link = PacketResize(width, WORD)

        connect(m, flipped(self.i), store.i)
        connect(m, store.o, sender.i_record)
        connect(m, sender.o, seal.i)
        connect(m, seal.o, to_link.i)
        connect(m, to_link.o, flipped(self.o_sync))
        connect(m, flipped(self.i_sync), from_link.i)
        connect(m, from_link.o, receiver.i)
        connect(m, receiver.o, applier.i)
        connect(m, applier.o_fs_write, flipped(self.o_fs_write))
        connect(m, applier.o_lookup, lookups.i[0])
        covered, command = store.o_covered, lookups.i[1]
        m.d.comb += [command.valid.eq(covered.valid), covered.ready.eq(command.ready),
                     command.payload.op.eq(LookupOp.COVERED), command.payload.conn.eq(covered.payload)]
        connect(m, lookups.o, flipped(self.o_lookup))
        connect(m, applier.o_confirm, store.i_confirm)

        connect(m, flipped(self.config), control.config)
        connect(m, control.status, flipped(self.status))
        config, status = self.config, control.status
        m.d.comb += [
            store.retransmit_after.eq(config.retransmit_after), sender.unit.eq(config.unit),
            # what was received
            receiver.beat.eq(applier.beat), receiver.read.eq(applier.read), applier.lines.eq(receiver.lines),
            applier.active.eq(status.active), applier.epoch.eq(status.epoch), applier.fenced.eq(status.fenced),
            applier.deaf.eq(control.deaf),
            control.heard.eq(applier.heard), control.echoed.eq(applier.echoed), control.newer.eq(applier.newer),
            control.handed.eq(applier.handed), control.muted.eq(self.muted), control.yielded.eq(self.yielded),
            sender.handover.eq(self.handover), sender.yielded.eq(self.yielded), sender.clean.eq(self.clean),
            self.clean_before.eq(control.clean_before),
            control.frame.eq(applier.frame), control.idle.eq(applier.idle), control.issued.eq(store.issued),
            control.confirmed.eq(store.confirmed), control.applied.eq(applier.applied),
            control.sync_ready.eq(store.sync_ready),
            # at a takeover the numbering continues from the last record applied
            store.enable.eq(status.active), store.free_run.eq(~control.joined), store.load.eq(control.load),
            store.load_number.eq(applier.applied),
            # what is sent
            sender.discard.eq(~control.joined), sender.heartbeat.eq(control.heartbeat),
            sender.echo.eq(membership.echo), sender.echo_stamp.eq(applier.frame.stamp),
            sender.confirm.eq(applier.confirm), sender.join.eq(membership.join), sender.start.eq(resync.accept),
            sender.start_stamp.eq(resync.start_stamp), sender.digest.eq(digest.o),
            sender.size.eq(self.params.connections - 1),
            sender.standby_is.eq(Cat(control.joined, resync.offered)), sender.epoch.eq(status.epoch),
            sender.issued.eq(store.issued),
            sender.applied.eq(applier.applied), sender.cycles.eq(status.cycles), sender.isn_clock.eq(status.isn_clock),
            control.now.eq(self.now), sender.now.eq(self.now),
            self.tick_load.eq(control.tick_load), self.tick.eq(control.tick),
        ]
        self._join(m, store, sender, applier, control, membership, resync)
        self._authenticate(m, sender, seal, receiver)
        m.d.comb += digest.cfg.eq(self.cfg)
        m.d.comb += self.count.eq(Cat(store.count, sender.count, receiver.count, applier.count, control.count,
                                      membership.count, resync.count))
        return m

    def _authenticate(self, m, sender, seal, receiver):
        """Keys, slots and session of both directions."""
        config = self.config
        keys = [Cat(getattr(config, item.name) for item in KEYS[first:first + KEY_BITS // 32])
                for first in range(0, len(KEYS), KEY_BITS // 32)]
        m.d.comb += [
            sender.session.eq(config.sync_session), sender.heard.eq(receiver.heard),
            sender.send_slot.eq(config.sync_send), seal.key.eq(Mux(sender.slot, keys[1], keys[0])),
            receiver.unit.eq(config.unit), receiver.active.eq(self.status.active), receiver.keys.eq(Cat(keys)),
            receiver.accept.eq(config.sync_accept), receiver.session.eq(config.sync_session),
            self.status.sync_key.eq(receiver.loaded),
        ]

    def _join(self, m, store, sender, applier, control, membership, resync):
        """How a standby comes to have a record of every connection."""
        config, status = self.config, control.status
        exposed = Signal(16)
        m.d.comb += [
            exposed.eq(Mux(self.exposed > 0xFFFF, 0xFFFF, self.exposed)), sender.exposed.eq(exposed),
            membership.standby.eq(control.standby), membership.auto_join.eq(config.auto_join),
            membership.rejoin.eq(config.rejoin), membership.heard.eq(applier.heard),
            membership.started.eq(applier.started), membership.frame.eq(applier.frame),
            membership.in_use.eq(self.in_use), membership.quiet.eq(self.quiet),
            applier.member.eq(membership.member), applier.begin.eq(membership.begin),
            control.begin.eq(membership.begin), control.member.eq(membership.member),
            control.clean.eq(membership.clean),
            resync.active.eq(status.active), resync.joining.eq(applier.joining), resync.frame.eq(applier.frame),
            resync.cycles.eq(status.cycles), resync.lease.eq(config.lease),
            resync.digest.eq(sender.digest), resync.size.eq(sender.size),
            resync.joined.eq(control.joined), resync.pace.eq(config.resync_pace),
            resync.sync_ready.eq(store.sync_ready), resync.kicked.eq(self.kicked), resync.exposed.eq(self.exposed),
            resync.sweeping.eq(self.sweeping), store.end.eq(resync.end), resync.end_stored.eq(store.end_stored),
            resync.issued.eq(store.issued), resync.confirmed.eq(store.confirmed),
            control.accept.eq(resync.accept), control.offered.eq(resync.offered),
            control.start_stamp.eq(resync.start_stamp), control.recorded.eq(applier.recorded),
            resync.withdraw.eq(control.withdraw),
            self.uncover.eq(resync.uncover), self.kick_ready.eq(resync.kick_ready),
            self.kick.eq(control.kick | membership.kick | resync.begin),
        ]
        m.d.comb += [       # in place of what connect() has assigned
            self.status.resync.eq(resync.resync), self.status.joins.eq(resync.joins),
            self.status.join_verdict.eq(resync.verdict), self.status.resync_clocks.eq(resync.clocks),
            self.status.exposed.eq(Mux(status.active, exposed, control.missing)),
        ]
