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
from .sync_frame import WORD

__all__ = ["SyncPort", "REGISTERS_IN", "STATUS_OUT"]

#: configuration inputs, name and width; their meaning is described at the block that uses them
REGISTERS_IN = {
    "role_init": 1, "role_load": 1, "hb_interval": 32, "lease": 32, "takeover_after": 32, "policy": 1, "grant": 1,
    "egress_disable": 1, "detector": 1, "isn_divider": 16, "isn_margin": 32, "tick_margin": 32, "retransmit_after": 32,
    "unit": 1,
}
#: status outputs, name and width
STATUS_OUT = {
    "active": 1, "emit_enable": 1, "protect": 1, "unprotected": 1, "lease_valid": 1, "fenced": 1, "peer_present": 1,
    "sync_ready": 1, "epoch": 16, "issued": 32, "confirmed": 32, "applied": 32, "takeovers": 16, "takeover_cycle": 32,
    "cycles": 32, "isn_clock": 32,
}


class SyncPort(wiring.Component):
    """Numbers SYNC messages, keeps them until confirmed, applies the peer's; role, lease and takeover.

    Source: patent §X.B; architecture rules "sync records", "takeover is O(1)", "no two masters".
    Parameters: params.
    Members:
        i: SYNC messages. o_sync, i_sync: packets, the link to the other unit.
        o_fs_write, o_lookup: what the peer's records say. kick: one clock at takeover.
        now, tick_load, tick: see `RoleControl`.
        REGISTERS_IN: registers (`RoleControl`, `RecordStore`). STATUS_OUT: status, of the same blocks.
    Latency: about 15 clocks from a delta's last beat to its last word on a 64-bit link.
    Throughput: a delta in 12 clocks sent, 20 applied; a full record in 32 sent, 80 received and applied.
    Backpressure: `i` waits while the replay ring is full; `i_sync` waits while a frame is being applied.
    Drop: counted by reason (COUNTERS). Reset: number 0, role from role_init.
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
            **{name: In(width) for name, width in REGISTERS_IN.items()},
            **{name: Out(width) for name, width in STATUS_OUT.items()},
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

        for name in REGISTERS_IN:
            for block in (control, store, sender):
                if name in block.signature.members and block.signature.members[name].flow == In:
                    m.d.comb += getattr(block, name).eq(getattr(self, name))
        for name in STATUS_OUT:
            owner = next(b for b in (control, store, applier) if name in b.signature.members
                         and b.signature.members[name].flow == Out)
            m.d.comb += getattr(self, name).eq(getattr(owner, name))
        m.d.comb += [
            # what was received
            receiver.beat.eq(applier.beat), receiver.read.eq(applier.read), applier.lines.eq(receiver.lines),
            applier.active.eq(control.active), applier.epoch.eq(control.epoch), applier.fenced.eq(control.fenced),
            applier.deaf.eq(control.deaf),
            control.heard.eq(applier.heard), control.echoed.eq(applier.echoed), control.newer.eq(applier.newer),
            control.frame.eq(applier.frame), control.confirmed.eq(store.confirmed), control.idle.eq(applier.idle),
            control.issued.eq(store.issued),
            # the numbering goes on where the peer's ended
            store.enable.eq(control.active), store.free_run.eq(control.unprotected), store.load.eq(control.load),
            store.load_number.eq(applier.applied),
            # what is sent
            sender.discard.eq(~control.active | control.unprotected), sender.heartbeat.eq(control.heartbeat),
            sender.echo.eq(control.echo), sender.echo_stamp.eq(applier.frame.stamp), sender.confirm.eq(applier.confirm),
            sender.protected.eq(~control.unprotected), sender.epoch.eq(control.epoch), sender.issued.eq(store.issued),
            sender.applied.eq(applier.applied), sender.cycles.eq(control.cycles), sender.isn_clock.eq(control.isn_clock),
            self.kick.eq(control.kick),
            control.now.eq(self.now), sender.now.eq(self.now), self.tick_load.eq(control.tick_load), self.tick.eq(control.tick),
        ]
        m.d.comb += self.count.eq(Cat(store.count, sender.count, receiver.count, applier.count, control.count))
        return m
