"""Applies records in order and reports what the other sync frames say."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.dma import FlowstateWrite
from ..layouts.flowstate import DELTA_BEATS, FULL_BEATS
from ..layouts.headers import IpProtocol
from ..layouts.lookup import LookupCommand, LookupOp
from ..layouts.message import BEAT
from ..layouts.record import RecordKind, SyncType
from ..lib import Counters
from .sync_frame import LEG_BEATS, SLOT_BEATS, SyncHeader, beat_in_flowstate, older

__all__ = ["RecordApplier"]


class RecordApplier(wiring.Component):
    """Standby that is a member: applies the next record, whole, and no other. Active: reports confirmations and echoes.

    A full record also inserts the flow keys of both legs. A retiring record deletes them and frees the flow id. A leg
    whose `remote_ip` is 0 has no key. A delta of a connection whose full record is still to come writes lines that
    this full record replaces, and that nothing reads before.

    Members
    -------
    i : In(stream(SyncHeader))
        Headers of good frames.
    beat, read, lines : Out(range(32)), Out(1), In(64)
        Lines of the frame in hand, see `FrameReceiver`.
    active, epoch, fenced : In(1), In(16), In(1)
        Role and epoch of this unit. While it is fenced, every frame is dropped.
    deaf : In(1)
        A takeover has begun: heartbeats and START have no effect.
    member, begin : In(1)
        This standby takes records; one clock: `applied` continues from the number of the frame in hand.
    o_fs_write : Out(stream(FlowstateWrite))
        Lines for flowstate memory.
    o_lookup : Out(stream(LookupCommand))
        INSERT, DELETE and FREE.
    applied : Out(32), record number
        The last record applied.
    idle : Out(1)
        No record is being applied and no frame waits.
    confirm, recorded : Out(1), Out(1)
        One clock each: a CONFIRM is to be sent; because a record has been applied.
    o_confirm : Out(stream(32), always ready)
        Record numbers that the standby confirms.
    heard, echoed, joining, started, newer : Out(1)
        One clock each: `frame` is a heartbeat, an echo, a JOIN, a START, a frame of a later epoch.
    handed : Out(1)
        One clock: the active has handed its role over to this member, which has every record.
    frame : Out(SyncHeader)
        Header of the frame in hand.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency 2 clocks to decide. Throughput 1 beat per clock; a full record takes about 40 clocks.
    A frame waits while `o_fs_write` or `o_lookup` waits.

    Drop
    ----
    Frames that this role, epoch or number does not allow, counted by reason.

    Reset
    -----
    Number 0.

    Source
    ------
    Patent §X.B; `layouts.record`, `layouts.flowstate`.
    """

    COUNTERS = Counters({
        "applied": "sync records applied",
        "stale_epoch": "sync frames of an earlier epoch",
        "out_of_order": "STATE frames dropped because an earlier record is missing",
        "duplicate": "STATE frames of a record that was applied before",
        "ignored_state": "STATE, START and HANDOVER frames received while this unit is active",
        "dual_active": "HEARTBEAT frames of the same epoch received while this unit is active",
        "ignored_answer": "ECHO, CONFIRM and JOIN frames received while this unit is standby",
        "unjoined_state": "STATE frames received by a standby that is no member",
        "fenced_frame": "sync frames received while this unit is fenced",
        "early_handover": "HANDOVER frames refused: this standby is no member, lacks a record, or takes over already",
    })

    def __init__(self):
        super().__init__({
            "i": In(stream.Signature(SyncHeader)),
            "beat": Out(range(SLOT_BEATS)), "read": Out(1), "lines": In(BEAT),
            "active": In(1), "epoch": In(16), "fenced": In(1), "deaf": In(1), "member": In(1), "begin": In(1),
            "o_fs_write": Out(stream.Signature(FlowstateWrite)), "o_lookup": Out(stream.Signature(LookupCommand)),
            "applied": Out(32), "idle": Out(1), "confirm": Out(1), "recorded": Out(1),
            "o_confirm": Out(stream.Signature(32, always_ready=True)),
            "heard": Out(1), "echoed": Out(1), "joining": Out(1), "started": Out(1), "newer": Out(1), "handed": Out(1),
            "frame": Out(SyncHeader),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        frame = self.i.payload
        distance = Signal(32)       # from the next number to this one
        behind, ahead, duplicate, early = Signal(), Signal(), Signal(), Signal()
        self.index = index = Signal(range(SLOT_BEATS))
        leg = Signal()

        m.d.comb += [self.frame.eq(frame), distance.eq(frame.number - self.applied - 1),
                     self.o_confirm.payload.eq(frame.number)]
        m.d.sync += self.count.eq(0)
        self._write_path(m)
        with m.FSM():
            with m.State("WAIT"):
                m.d.comb += self.idle.eq(~self.i.valid)
                m.d.sync += [behind.eq(older(frame.epoch, self.epoch)), ahead.eq(older(self.epoch, frame.epoch)),
                             duplicate.eq(distance[-1]), early.eq(~distance[-1] & (distance != 0)), index.eq(0),
                             leg.eq(0)]
                with m.If(self.i.valid):
                    m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.comb += self.i.ready.eq(1)
                m.next = "WAIT"
                with m.If(self.fenced):
                    m.d.sync += self.count.fenced_frame.eq(1)
                with m.Elif(behind):
                    m.d.sync += self.count.stale_epoch.eq(1)
                with m.Elif(self.active):
                    m.d.comb += self.newer.eq(ahead)
                    with m.Switch(frame.type):
                        with m.Case(SyncType.STATE, SyncType.START, SyncType.HANDOVER):
                            m.d.sync += self.count.ignored_state.eq(1)
                        with m.Case(SyncType.HEARTBEAT):
                            with m.If(~ahead):
                                m.d.sync += self.count.dual_active.eq(1)
                        with m.Case(SyncType.ECHO):
                            m.d.comb += [self.echoed.eq(~ahead), self.o_confirm.valid.eq(~ahead)]
                        with m.Case(SyncType.CONFIRM):
                            m.d.comb += self.o_confirm.valid.eq(~ahead)
                        with m.Case(SyncType.JOIN):
                            m.d.comb += self.joining.eq(~ahead)
                with m.Else():
                    m.d.comb += self.newer.eq(ahead)
                    with m.Switch(frame.type):
                        with m.Case(SyncType.HEARTBEAT):
                            m.d.comb += self.heard.eq(~self.deaf)
                        with m.Case(SyncType.START):
                            m.d.comb += self.started.eq(~self.deaf)
                        with m.Case(SyncType.HANDOVER):
                            takes = self.member & ~self.deaf & ~ahead & duplicate
                            m.d.comb += self.handed.eq(takes)
                            m.d.sync += self.count.early_handover.eq(~takes)
                        with m.Case(SyncType.STATE):
                            m.d.comb += self.confirm.eq(self.member & (duplicate | early))
                            with m.If(~self.member):
                                m.d.sync += self.count.unjoined_state.eq(1)
                            with m.Elif(duplicate):
                                m.d.sync += self.count.duplicate.eq(1)
                            with m.Elif(early):
                                m.d.sync += self.count.out_of_order.eq(1)
                            with m.Else():
                                m.d.comb += self.i.ready.eq(0)
                                with m.If(frame.kind == RecordKind.RETIRE):
                                    m.next = "FETCH_KEY"
                                with m.Elif(frame.kind == RecordKind.END):
                                    m.next = "DONE"
                                with m.Else():
                                    m.next = "WRITE"
                        with m.Default():
                            m.d.sync += self.count.ignored_answer.eq(1)
                with m.If(self.begin):
                    m.d.sync += self.applied.eq(frame.number)
            self._write(m)
            self._keys(m, leg)
            with m.State("DONE"):
                m.d.comb += [self.i.ready.eq(1), self.confirm.eq(1), self.recorded.eq(1)]
                m.d.sync += [self.applied.eq(self.applied + 1), self.count.applied.eq(1)]
                m.next = "WAIT"
        return m

    def _write_path(self, m):
        """Path from the lines to flowstate memory: `index` is the beat being read, `lines` holds the beat before it."""
        frame, out, index = self.i.payload, self.o_fs_write, self.index
        self.step, self.final = step, final = Signal(), Signal()
        self.write = write = Signal(FlowstateWrite)
        place = Signal(6)
        at = Signal(range(SLOT_BEATS))
        m.d.comb += [step.eq(~out.valid | out.ready), at.eq(index - 1),
                     final.eq(index == Mux(frame.kind == RecordKind.DELTA, DELTA_BEATS, FULL_BEATS))]
        with m.Switch(at[2:]):
            for first, target in beat_in_flowstate():
                with m.Case(first >> 2):
                    m.d.comb += place.eq(target + at[:2])
        m.d.comb += [write.conn.eq(frame.conn), write.beat.eq(place), write.data.eq(self.lines)]
        with m.If(step):
            m.d.sync += out.valid.eq(0)

    def _write(self, m):
        """States that write the lines of a record."""
        frame, out, index = self.i.payload, self.o_fs_write, self.index
        step, final, write = self.step, self.final, self.write
        with m.State("WRITE"):
            m.d.comb += [self.beat.eq(index), self.read.eq(step)]
            with m.If(step):
                m.d.sync += [out.valid.eq(index != 0), out.payload.eq(write), index.eq(index + 1)]
                with m.If(final):
                    m.next = "FLUSH"
        with m.State("FLUSH"):
            with m.If(step):
                with m.If(frame.kind == RecordKind.FULL):
                    m.next = "FETCH_KEY"
                with m.Else():
                    m.next = "DONE"

    def _keys(self, m, leg):
        """States that make lookup commands of the address lines; a key is what the remote end of a leg sends."""
        frame, out = self.i.payload, self.o_lookup
        key = out.payload.key
        retire, absent = frame.kind == RecordKind.RETIRE, key.src_ip == 0
        beat = Signal(2)
        # the protocol is not part of a record: only TCP connections have a flowstate
        with m.State("FETCH_KEY"):
            m.d.comb += [self.beat.eq(Mux(leg, *reversed(LEG_BEATS)) + beat), self.read.eq(1)]
            m.d.sync += [beat.eq(beat + 1), out.payload.conn.eq(frame.conn), out.payload.leg.eq(leg),
                         key.protocol.eq(IpProtocol.TCP),
                         out.payload.op.eq(Mux(retire, LookupOp.DELETE, LookupOp.INSERT))]
            with m.Switch(beat):
                with m.Case(1):
                    m.d.sync += key.iface.eq(self.lines[16:24])
                with m.Case(2):
                    m.d.sync += [key.dst_ip.eq(self.lines[:32]), key.src_ip.eq(self.lines[32:])]
                with m.Case(3):
                    m.d.sync += [key.dst_port.eq(self.lines[:16]), key.src_port.eq(self.lines[16:32]), beat.eq(0)]
                    m.next = "COMMAND"
        with m.State("COMMAND"):
            m.d.comb += out.valid.eq(~absent)
            with m.If(out.ready | absent):
                m.d.sync += leg.eq(1)
                with m.If(~leg):
                    m.next = "FETCH_KEY"
                with m.Elif(retire):
                    m.d.sync += out.payload.op.eq(LookupOp.FREE)
                    m.next = "FREE"
                with m.Else():
                    m.next = "DONE"
        with m.State("FREE"):
            m.d.comb += out.valid.eq(1)
            with m.If(out.ready):
                m.next = "DONE"
