"""The unit's end of the sync link."""
from amaranth.hdl import Cat, Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from ..layouts.dma import FlowstateWrite
from ..layouts.lookup import LookupCommand
from ..layouts.message import beat_signature
from ..layouts.packet import packet_signature
from ..lib.packet_resize import PacketResize
from .frame_receiver import FrameReceiver
from .frame_sender import FrameSender
from .record_applier import RecordApplier
from .record_store import RecordStore
from .role_control import RoleControl
from .signature import FailoverConfig, FailoverStatus
from .sync_frame import WORD

__all__ = ["SyncPort"]


class SyncPort(wiring.Component):
    """Numbers SYNC messages, keeps them until they are confirmed, applies those of the peer; role, lease and takeover.

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
        Lines and keys of the peer's records.
    kick : Out(1)
        One clock at a takeover: every connection gets a timer event.
    now, tick_load, tick : In(32), Out(1), Out(32), ticks
        The tick counter, and the value from which it is to continue, see `RoleControl`.
    config, status : In(FailoverConfig), Out(FailoverStatus)
        Registers.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency about 15 clocks from the last beat of a delta to its last word on a 64-bit link. Throughput: a delta in 12
    clocks sent and 20 applied, a full record in 32 sent and 80 received and applied. `i` waits while the replay ring
    is full; `i_sync` waits while a frame is applied.

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
                | RoleControl.COUNTERS)

    def __init__(self, params):
        self.params = params
        RecordStore.check(params)
        super().__init__({
            "i": In(beat_signature()),
            "o_sync": Out(packet_signature(params.data_width)), "i_sync": In(packet_signature(params.data_width)),
            "o_fs_write": Out(stream.Signature(FlowstateWrite)), "o_lookup": Out(stream.Signature(LookupCommand)),
            "kick": Out(1), "now": In(32), "tick_load": Out(1), "tick": Out(32),
            "config": In(FailoverConfig()), "status": Out(FailoverStatus()),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        width = self.params.data_width
        m.submodules.store = store = RecordStore(self.params)
        m.submodules.sender = sender = FrameSender()
        m.submodules.receiver = receiver = FrameReceiver(self.params)
        m.submodules.applier = applier = RecordApplier()
        m.submodules.control = control = RoleControl()
        m.submodules.narrow = to_link = PacketResize(WORD, width)
        m.submodules.widen = from_link = PacketResize(width, WORD)

        connect(m, flipped(self.i), store.i)
        connect(m, store.o, sender.i_record)
        connect(m, sender.o, to_link.i)
        connect(m, to_link.o, flipped(self.o_sync))
        connect(m, flipped(self.i_sync), from_link.i)
        connect(m, from_link.o, receiver.i)
        connect(m, receiver.o, applier.i)
        connect(m, applier.o_fs_write, flipped(self.o_fs_write))
        connect(m, applier.o_lookup, flipped(self.o_lookup))
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
            control.frame.eq(applier.frame), control.idle.eq(applier.idle), control.issued.eq(store.issued),
            control.confirmed.eq(store.confirmed), control.applied.eq(applier.applied),
            control.sync_ready.eq(store.sync_ready),
            # at a takeover the numbering continues from the last record applied
            store.enable.eq(status.active), store.free_run.eq(status.unprotected), store.load.eq(control.load),
            store.load_number.eq(applier.applied),
            # what is sent
            sender.discard.eq(~status.active | status.unprotected), sender.heartbeat.eq(control.heartbeat),
            sender.echo.eq(control.echo), sender.echo_stamp.eq(applier.frame.stamp), sender.confirm.eq(applier.confirm),
            sender.protected.eq(~status.unprotected), sender.epoch.eq(status.epoch), sender.issued.eq(store.issued),
            sender.applied.eq(applier.applied), sender.cycles.eq(status.cycles), sender.isn_clock.eq(status.isn_clock),
            self.kick.eq(control.kick),
            control.now.eq(self.now), sender.now.eq(self.now),
            self.tick_load.eq(control.tick_load), self.tick.eq(control.tick),
        ]
        m.d.comb += self.count.eq(Cat(store.count, sender.count, receiver.count, applier.count, control.count))
        return m
