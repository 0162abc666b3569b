"""Builds sync frames: records, heartbeats, their answers, what a standby joins with, and the hand-over."""
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.flowstate import DELTA_BEATS, DELTA_MASK, FULL_BEATS, FULL_MASK
from ..layouts.headers import EtherType
from ..layouts.message import beat_signature
from ..layouts.record import SYNC_VERSION, RecordKind, StandbyIs, SyncType
from ..lib import Counters
from .sync_frame import (
    HEADER_WORDS,
    STATION,
    WORD,
    RecordHead,
    SyncHeader,
    header_layout,
    header_word,
    swap_words,
    word_signature,
)

__all__ = ["FrameSender"]


class FrameSender(wiring.Component):
    """Builds sync frames but their tags, and sends one at a time.

    What waits is sent in this order: START, ECHO, JOIN, CONFIRM, HANDOVER, HEARTBEAT, STATE. Each frame has a number of
    its own, its serial, one above the last. Its upper half is at least `session`. So a host that writes a larger
    session after each reset makes every serial larger than those before the reset.

    Parameters
    ----------
    first : int
        Serial before that of the first frame.

    Members
    -------
    i_record : In(stream of beats)
        Records as `RecordStore.o` offers them.
    discard : In(1)
        1: records are dropped instead of sent (this unit is not active, or there is no standby).
    heartbeat, echo, confirm, join, start : In(1)
        Requests, one clock each. Requests of one type before its frame leaves become one frame.
    handover, yielded, clean : In(1), In(1), In(1)
        A request as well; one that has not left is forgotten when `yielded` is 0; kind of the frame.
    echo_stamp : In(32), clocks
        Stamp of the frame that `echo` or `join` answers; the newest one is sent.
    start_stamp : In(32), clocks
        Stamp of a START.
    digest, size, exposed : In(32), In(16), In(16)
        What JOIN says, and how many connections a heartbeat says have no record.
    unit : In(1)
        Number of this unit, selects the station addresses.
    session, heard : In(32), In(32)
        Least upper half of the serials; session of the peer that its last frame was of.
    send_slot, slot : In(1), Out(1)
        Slot of the key for the tag of the next frame, and of the frame in hand.
    standby_is, epoch, issued, applied, cycles, isn_clock, now : In
        Header fields; see the frame format in failover/README.md.
    o : Out(stream of packet, 64 bits)
        Frames.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency 2 clocks from a request to the first word. Throughput 1 word per clock and 2 clocks between frames.
    While `o` waits, records wait and requests are remembered. After the last serial, 2^64 - 1, everything waits until
    `session` is raised.

    Drop
    ----
    Records while `discard` is 1, not counted.

    Reset
    -----
    Idle, no request.

    Source
    ------
    `layouts.record`; patent §X.B ("heartbeat").
    """

    COUNTERS = Counters({
        "state_out": "STATE frames sent", "heartbeat_out": "HEARTBEAT frames sent", "echo_out": "ECHO frames sent",
        "confirm_out": "CONFIRM frames sent", "join_out": "JOIN frames sent", "start_out": "START frames sent",
        "handover_out": "HANDOVER frames sent",
        "serial_end": "times that the last serial was used up: no frame leaves until sync_session is raised",
    })

    def __init__(self, first=0):
        self.first = first
        super().__init__({
            "i_record": In(beat_signature()), "discard": In(1),
            "heartbeat": In(1), "echo": In(1), "confirm": In(1), "join": In(1), "start": In(1), "handover": In(1),
            "yielded": In(1), "clean": In(1),
            "echo_stamp": In(32), "start_stamp": In(32), "digest": In(32), "size": In(16), "exposed": In(16),
            "unit": In(1), "session": In(32), "heard": In(32), "send_slot": In(1), "slot": Out(1),
            "standby_is": In(StandbyIs), "epoch": In(16), "issued": In(32), "applied": In(32),
            "cycles": In(32), "isn_clock": In(32), "now": In(32),
            "o": Out(word_signature()), "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        frame = Signal(SyncHeader)
        header = Signal(header_layout())
        full, lines = Signal(), Signal()
        serial, heard, choosing, taken = Signal(64, init=self.first), Signal(32), Signal(), Signal()
        m.d.comb += [
            full.eq(frame.kind != RecordKind.DELTA),
            lines.eq((frame.type == SyncType.STATE) & (frame.kind != RecordKind.END)),
            header.destination.eq(Mux(self.unit, STATION[0], STATION[1])),
            header.source.eq(Mux(self.unit, STATION[1], STATION[0])),
            header.ethertype.eq(EtherType.SYNC), header.version.eq(SYNC_VERSION), header["type"].eq(frame.type),
            header.epoch.eq(frame.epoch), header.number.eq(frame.number), header.conn.eq(frame.conn),
            header.kind.eq(frame.kind), header.stamp.eq(frame.stamp), header.clock.eq(frame.clock),
            header.tick.eq(frame.tick), header.key.eq(self.slot), header.serial.eq(serial), header.heard.eq(heard),
        ]
        with m.If(lines):
            m.d.comb += [header.line_mask.eq(Mux(full, FULL_MASK, DELTA_MASK)),
                         header.length.eq(Mux(full, FULL_BEATS, DELTA_BEATS) * (WORD // 8))]

        m.d.sync += self.count.eq(0)
        requests = "echo", "confirm", "heartbeat", "join", "start", "handover"
        pending = {name: Signal(name=f"{name}_pending") for name in requests}
        stamp = Signal(32)
        start = {name: Signal(name=f"{name}_start") for name in pending}
        for name, flag in pending.items():
            with m.If(getattr(self, name)):
                m.d.sync += flag.eq(1)
            with m.Elif(start[name]):
                m.d.sync += flag.eq(0)
        with m.If(self.echo | self.join):
            m.d.sync += stamp.eq(self.echo_stamp)
        gives_up = Signal()
        m.d.comb += gives_up.eq(pending["handover"] & self.yielded)
        with m.If(~self.yielded & ~self.handover):
            m.d.sync += pending["handover"].eq(0)
        ended = self._number(m, serial, choosing, Cat(start.values()).any() | taken)

        index = Signal(range(HEADER_WORDS))
        step = Signal()
        head = RecordHead(self.i_record.payload.data)
        out = self.o.payload
        m.d.comb += step.eq(~self.o.valid | self.o.ready)
        with m.If(step):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM():
            with m.State("CHOOSE"):
                m.d.comb += choosing.eq(1)
                m.d.sync += [index.eq(0), frame.epoch.eq(self.epoch), frame.clock.eq(self.isn_clock),
                             frame.stamp.eq(self.cycles), frame.number.eq(self.applied), frame.conn.eq(0),
                             frame.kind.eq(0), frame.tick.eq(self.now), self.slot.eq(self.send_slot),
                             heard.eq(self.heard)]
                with m.If(ended):
                    pass
                with m.Elif(pending["start"]):
                    m.d.comb += start["start"].eq(1)
                    m.d.sync += [frame.type.eq(SyncType.START), frame.number.eq(self.issued),
                                 frame.kind.eq(StandbyIs.MEMBER),
                                 frame.stamp.eq(self.start_stamp), self.count.start_out.eq(1)]
                    m.next = "HEADER"
                with m.Elif(pending["echo"]):
                    # an echo carries the same number as a confirmation
                    m.d.comb += [start["echo"].eq(1), start["confirm"].eq(1)]
                    m.d.sync += [frame.type.eq(SyncType.ECHO), frame.stamp.eq(stamp), self.count.echo_out.eq(1)]
                    m.next = "HEADER"
                with m.Elif(pending["join"]):
                    m.d.comb += start["join"].eq(1)
                    m.d.sync += [frame.type.eq(SyncType.JOIN), frame.stamp.eq(stamp), frame.number.eq(self.digest),
                                 frame.conn.eq(self.size), self.count.join_out.eq(1)]
                    m.next = "HEADER"
                with m.Elif(pending["confirm"]):
                    m.d.comb += start["confirm"].eq(1)
                    m.d.sync += [frame.type.eq(SyncType.CONFIRM), self.count.confirm_out.eq(1)]
                    m.next = "HEADER"
                with m.Elif(gives_up):
                    m.d.comb += start["handover"].eq(1)
                    m.d.sync += [frame.type.eq(SyncType.HANDOVER), frame.number.eq(self.issued),
                                 frame.kind.eq(self.clean), self.count.handover_out.eq(1)]
                    m.next = "HEADER"
                with m.Elif(pending["heartbeat"]):
                    m.d.comb += start["heartbeat"].eq(1)
                    m.d.sync += [frame.type.eq(SyncType.HEARTBEAT), frame.number.eq(self.issued),
                                 frame.kind.eq(self.standby_is), frame.conn.eq(self.exposed),
                                 self.count.heartbeat_out.eq(1)]
                    m.next = "HEADER"
                with m.Elif(self.discard):
                    m.d.comb += self.i_record.ready.eq(1)
                    with m.If(self.i_record.valid & ~self.i_record.payload.last):
                        m.next = "DISCARD"
                with m.Else():
                    m.d.comb += self.i_record.ready.eq(1)
                    with m.If(self.i_record.valid):
                        m.d.comb += taken.eq(1)
                        m.d.sync += [frame.type.eq(SyncType.STATE), frame.number.eq(head.number),
                                     frame.conn.eq(head.conn), frame.kind.eq(head.kind), self.count.state_out.eq(1)]
                        m.next = "HEADER"
            with m.State("DISCARD"):
                m.d.comb += self.i_record.ready.eq(1)
                with m.If(self.i_record.valid & self.i_record.payload.last):
                    m.next = "CHOOSE"
            with m.State("HEADER"):
                with m.If(step):
                    m.d.sync += [self.o.valid.eq(1), out.last.eq((index == HEADER_WORDS - 1) & ~lines),
                                 index.eq(index + 1)]
                    with m.Switch(index):
                        for k in range(HEADER_WORDS):
                            with m.Case(k):
                                m.d.sync += out.data.eq(header_word(header, k))
                    with m.If(index == HEADER_WORDS - 1):
                        with m.If(lines):
                            m.next = "LINES"
                        with m.Else():
                            m.next = "CHOOSE"
            with m.State("LINES"):
                m.d.comb += self.i_record.ready.eq(step)
                with m.If(step & self.i_record.valid):
                    m.d.sync += [self.o.valid.eq(1), out.last.eq(self.i_record.payload.last),
                                 out.data.eq(swap_words(self.i_record.payload.data))]
                    with m.If(self.i_record.payload.last):
                        m.next = "CHOOSE"
        return m

    def _number(self, m, serial, choosing, begun):
        """Count frames as they begin, and not while one is sent; returns whether the last serial is used up."""
        jump, ended = Signal(), Signal()
        # one clock late, so that it must not count twice
        m.d.sync += [jump.eq((self.session > serial[32:]) & ~(jump & choosing)), ended.eq(serial.all()),
                     self.count.serial_end.eq(serial.all() & ~ended)]
        with m.If(jump & choosing):
            m.d.sync += serial.eq(Cat(Const(0, 32), self.session))
        with m.Elif(begun):
            m.d.sync += serial.eq(serial + 1)
        return ended
