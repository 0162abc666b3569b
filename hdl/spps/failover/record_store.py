"""Numbers sync records and keeps them until the standby has confirmed them."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.flowstate import DELTA_BEATS, FULL_BEATS
from ..layouts.message import BEAT, MessageHeader, beat_signature
from ..layouts.record import RecordKind, SyncArgument
from ..lib import Counters
from .sync_frame import SLOT_BEATS, RecordHead

__all__ = ["RecordStore"]


class RecordStore(wiring.Component):
    """Replay ring: numbers each SYNC message and offers it as a record, go-back-N, until it is confirmed.

    Parameters
    ----------
    params : SppsParams
        `replay_records`: slots of 32 beats in block RAM. `total_cores`: free slots that `sync_ready` stands for.
        Raises ValueError when there are fewer than two slots per core.

    Members
    -------
    i : In(stream of beats)
        SYNC messages.
    o : Out(stream of beats)
        Records to send: `RecordHead`, then the lines. A record may come again.
    enable : In(1)
        0: records are refused and counted (this unit is not active).
    free_run : In(1)
        1: no standby takes records: they are counted and get no number, and what was stored counts as confirmed.
    end, end_stored : In(1), Out(1)
        1: an END record is to be stored; the clock in which it is.
    o_covered : Out(stream(16))
        Flow ids of the full records stored.
    load, load_number : In(1), In(32)
        The numbering continues after this record number (at a takeover).
    i_confirm : In(stream(32), always ready)
        Cumulative confirmations, record numbers. One outside confirmed..issued is counted and has no effect.
    retransmit_after : In(32), clocks
        Without progress for this long, records are offered again from the oldest unconfirmed one on. 0: never.
    issued, confirmed : Out(32), record numbers
        The last record stored and the last one confirmed.
    sync_ready : Out(1)
        There is a free slot for a record of every core.
    count : Out(COUNTERS)
        One pulse per occurrence.

    Timing
    ------
    Latency 3 clocks from the last beat to the offer. Throughput 1 beat per clock and 2 clocks between records.
    `i` waits at the head of a message while the ring is full or `o_covered` waits; `i.ready` depends on registers only.

    Drop
    ----
    Malformed and refused records, whole, counted.

    Reset
    -----
    Number 0, ring empty. Slots are not cleared: one is read only after it was written.

    Source
    ------
    Patent §X.B (state transfer is confirmed); architecture rules "output gate" and "sync records".
    """

    COUNTERS = Counters({
        "records": "sync records numbered and stored",
        "bad_record": "SYNC messages of an unknown kind or with a wrong number of beats",
        "refused_record": "SYNC messages dropped because this unit is not active",
        "unshared_record": "SYNC messages that got no number because no standby takes records",
        "retransmit": "times that sending went back to the oldest unconfirmed record",
        "bad_confirm": "confirmations of a record that was not issued",
    })

    @staticmethod
    def check(params):
        """Raise ValueError when the ring has no slots for two records of every core."""
        if params.replay_records < 2 * params.total_cores:
            raise ValueError(f"replay_records={params.replay_records!r}: must be at least two per core, "
                             f"{2 * params.total_cores}")

    def __init__(self, params):
        self.check(params)
        self.params = params
        super().__init__({
            "i": In(beat_signature()), "o": Out(beat_signature()),
            "enable": In(1), "free_run": In(1), "load": In(1), "load_number": In(32),
            "end": In(1), "end_stored": Out(1), "o_covered": Out(stream.Signature(16)),
            "i_confirm": In(stream.Signature(32, always_ready=True)), "retransmit_after": In(32),
            "issued": Out(32), "confirmed": Out(32), "sync_ready": Out(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        slots = self.params.replay_records
        m.submodules.ring = ring = memory.Memory(
            shape=BEAT, depth=slots * SLOT_BEATS, init=[], attrs={"no_rw_check": 1})
        self.slot_bits = (slots - 1).bit_length()
        self._number(m)
        self._store(m, ring.write_port())
        self._offer(m, ring.read_port())
        return m

    def _number(self, m):
        """Issued, confirmed, and the retransmit timer.

        Records that wait and records that were offered are counted, so 32-bit numbers are subtracted only in
        `distance` and `next`.
        """
        slots = self.params.replay_records
        # records that are not confirmed; of these, records that were offered
        self.used, self.sent = used, sent = Signal(range(slots + 1)), Signal(range(slots + 1))
        self.next = Signal(32)
        self.rewind, self.record_done, self.fetch, self.full = (
            Signal(name=name) for name in ("rewind", "record_done", "fetch", "full"))
        number = self.i_confirm.payload
        distance, freed, counts = Signal(32), Signal(range(slots + 1)), Signal()
        timer = Signal(32)
        m.d.comb += [
            distance.eq(number - self.confirmed),
            counts.eq(self.i_confirm.valid & (distance != 0) & (distance <= used)),
            freed.eq(Mux(counts, distance[:len(freed)], 0)),
            self.next.eq(self.confirmed + sent + 1), self.full.eq(used == slots),
        ]
        m.d.sync += [
            self.sync_ready.eq(used + self.params.total_cores <= slots), self.count.eq(0),
            self.issued.eq(self.issued + self.record_done), used.eq(used - freed + self.record_done),
            sent.eq(Mux(freed > sent, 0, sent - freed + self.fetch)),
        ]
        with m.If(self.free_run):
            m.d.sync += [self.confirmed.eq(self.issued), used.eq(self.record_done), sent.eq(0)]
        with m.Elif(counts):
            m.d.sync += [self.confirmed.eq(number), timer.eq(0)]
        with m.Elif(self.i_confirm.valid & ~distance[-1] & (distance != 0)):
            m.d.sync += self.count.bad_confirm.eq(1)
        with m.Elif(self.rewind & ~self.i_confirm.valid):
            m.d.sync += [sent.eq(0), timer.eq(0), self.count.retransmit.eq(1)]
        waiting = (used != 0) & (sent == used) & (self.retransmit_after != 0)
        m.d.comb += self.rewind.eq(waiting & (timer >= self.retransmit_after))
        with m.If(~waiting):
            m.d.sync += timer.eq(0)
        with m.Elif(~self.rewind & ~self.i_confirm.valid):
            m.d.sync += timer.eq(timer + 1)
        with m.If(self.load):
            m.d.sync += [self.issued.eq(self.load_number), self.confirmed.eq(self.load_number), used.eq(0), sent.eq(0)]

    def _store(self, m, port):
        """Write each SYNC message into a slot."""
        header = MessageHeader(self.i.payload.data)
        argument = SyncArgument(header.argument)
        head = Signal(RecordHead)
        index = Signal(range(SLOT_BEATS))
        expected = Signal.like(index)
        number = Signal(32)
        m.d.comb += [number.eq(self.issued + 1), head.conn.eq(argument.conn), head.kind.eq(argument.kind)]
        take, full_kind, idle, conn = Signal(), Signal(), Signal(), Signal(16)
        m.d.comb += [take.eq(self.i.valid & self.i.ready), port.addr.eq(Cat(index, number[:self.slot_bits])),
                     idle.eq(~self.enable | self.free_run | ~self.full & ~self.o_covered.valid)]
        with m.If(self.o_covered.ready):
            m.d.sync += self.o_covered.valid.eq(0)
        with m.FSM(name="store"):
            with m.State("HEAD"):
                m.d.comb += [self.i.ready.eq(idle), port.data.eq(head), port.en.eq(take & self.enable)]
                m.d.sync += [index.eq(0), expected.eq(Mux(argument.kind == RecordKind.DELTA, DELTA_BEATS, FULL_BEATS))]
                with m.If(take):
                    m.d.sync += [full_kind.eq(argument.kind == RecordKind.FULL), conn.eq(argument.conn)]
                    m.d.sync += index.eq(1)
                    with m.If(~self.enable | self.free_run):
                        m.d.sync += [self.count.refused_record.eq(~self.enable),
                                     self.count.unshared_record.eq(self.enable), index.eq(0)]
                        with m.If(~self.i.payload.last):
                            m.next = "SKIP"
                    with m.Elif(self.i.payload.last | (argument.kind > RecordKind.RETIRE)):
                        m.d.sync += self.count.bad_record.eq(1)
                        m.d.sync += index.eq(0)
                        with m.If(~self.i.payload.last):
                            m.next = "SKIP"
                    with m.Else():
                        m.next = "BODY"
                with m.Elif(self.end & self.enable & ~self.free_run & ~self.full):
                    m.d.comb += [head.conn.eq(0), head.kind.eq(RecordKind.END), port.en.eq(1),
                                 self.record_done.eq(1), self.end_stored.eq(1)]
                    m.d.sync += self.count.records.eq(1)
            with m.State("BODY"):
                m.d.comb += [self.i.ready.eq(1), port.data.eq(self.i.payload.data), port.en.eq(take)]
                with m.If(take):
                    m.d.sync += index.eq(index + 1)
                    with m.If(self.i.payload.last):
                        with m.If(index == expected):
                            m.d.comb += self.record_done.eq(1)
                            m.d.sync += [self.count.records.eq(1), self.o_covered.valid.eq(full_kind),
                                         self.o_covered.payload.eq(conn)]
                        with m.Else():
                            m.d.sync += self.count.bad_record.eq(1)
                        m.d.sync += index.eq(0)
                        m.next = "HEAD"
                    with m.Elif(index == expected):
                        m.d.sync += self.count.bad_record.eq(1)
                        m.d.sync += index.eq(0)
                        m.next = "SKIP"
            with m.State("SKIP"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(take & self.i.payload.last):
                    m.next = "HEAD"

    def _offer(self, m, port):
        """Read slots and offer them.

        A slot can be overwritten while it is read, once its record is confirmed. The number that is sent is therefore
        the one that was fetched, not one from memory: the receiver then drops the mixed record as a duplicate.
        """
        index = Signal(range(SLOT_BEATS))
        number = Signal(32)
        last = Signal.like(index)
        step = Signal()
        stored, head = RecordHead(port.data), Signal(RecordHead)
        m.d.comb += [step.eq(~self.o.valid | self.o.ready), port.addr.eq(Cat(index, number[:self.slot_bits])),
                     port.en.eq(step), head.eq(stored), head.number.eq(number)]
        with m.If(step):
            m.d.sync += self.o.valid.eq(0)
        with m.FSM(name="offer"):
            with m.State("IDLE"):
                m.d.sync += [number.eq(self.next), index.eq(0)]
                with m.If(self.enable & ~self.free_run & ~self.load & (self.sent != self.used)):
                    m.d.comb += self.fetch.eq(1)
                    m.next = "FETCH"
            with m.State("FETCH"):
                with m.If(step):
                    m.d.sync += index.eq(1)
                    m.next = "HEAD"
            with m.State("HEAD"):
                with m.If(step):
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.data.eq(head), self.o.payload.last.eq(0),
                                 index.eq(2), last.eq(Mux(head.kind == RecordKind.DELTA, DELTA_BEATS, FULL_BEATS) + 1)]
                    m.next = "BODY"
                    with m.If(head.kind == RecordKind.END):
                        m.d.sync += self.o.payload.last.eq(1)
                        m.next = "IDLE"
            with m.State("BODY"):
                with m.If(step):
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.data.eq(port.data),
                                 self.o.payload.last.eq(index == last), index.eq(index + 1)]
                    with m.If(index == last):
                        m.next = "IDLE"
