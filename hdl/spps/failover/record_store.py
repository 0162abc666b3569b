"""Numbers sync records and keeps them until the standby has confirmed them."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.flowstate import DELTA_BEATS, FULL_BEATS
from ..layouts.message import BEAT, MessageHeader, beat_signature
from ..layouts.record import RecordKind, SyncArgument
from .frame import SLOT_BEATS, RecordHead

__all__ = ["RecordStore"]


class RecordStore(wiring.Component):
    """Replay ring: gives each SYNC message the next number, offers records for sending, go-back-N until confirmed.

    Source: patent §X.B (state transfer is confirmed); architecture rules "output gate" and "sync records".
    Parameters: params: `replay_records` slots of 32 beats in block RAM; `total_cores` records of room make `sync_ready`.
    Members:
        i: SYNC messages.
        o: records to send: `RecordHead`, then the lines; may repeat.
        enable: 0 refuses records (no active unit), counted.
        free_run: 1 confirms at once (nobody is there to confirm) and offers nothing.
        load, load_number: continue the numbering after this number (at takeover).
        i_confirm: cumulative confirmations; anything outside confirmed..issued is counted and ignored.
        retransmit_after: clocks without progress until the oldest unconfirmed record is offered again; 0: never.
        issued, confirmed: number of the last record; sync_ready: room for one full record of every core.
    Latency: 3 clocks from the last beat to the offer. Throughput: one beat per clock, 2 clocks between records.
    Backpressure: `i.ready` falls at the head of a message while the ring is full; it depends on registers alone.
    Drop: malformed and refused records, counted. Reset: number 0, empty.

    Raises ValueError when the ring has no room for two records of every core.
    """

    COUNTERS = ("records", "bad_record", "refused_record", "retransmit", "bad_confirm")

    @staticmethod
    def check(params):
        if params.replay_records < 2 * params.total_cores:
            raise ValueError(f"replay_records={params.replay_records!r}: must be at least two per core, "
                             f"{2 * params.total_cores}")

    def __init__(self, params):
        self.check(params)
        self.params = params
        super().__init__({
            "i": In(beat_signature()), "o": Out(beat_signature()),
            "enable": In(1), "free_run": In(1), "load": In(1), "load_number": In(32),
            "i_confirm": In(stream.Signature(32, always_ready=True)), "retransmit_after": In(32),
            "issued": Out(32), "confirmed": Out(32), "sync_ready": Out(1),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        slots = self.params.replay_records
        m.submodules.ring = ring = memory.Memory(shape=BEAT, depth=slots * SLOT_BEATS, init=[], attrs={"no_rw_check": 1})
        self.slot_bits = (slots - 1).bit_length()
        self._number(m)
        self._store(m, ring.write_port())
        self._offer(m, ring.read_port())
        return m

    def _number(self, m):
        """issued, confirmed, and the retransmit timer. How many records wait and were offered is counted, so that 32-bit numbers meet only in `distance` and `next`."""
        slots = self.params.replay_records
        self.used, self.sent = used, sent = Signal(range(slots + 1)), Signal(range(slots + 1))     # not confirmed; of these, offered
        self.next = Signal(32)
        self.rewind, self.record_done, self.fetch, self.full = (Signal(name=name) for name in ("rewind", "record_done", "fetch", "full"))
        number = self.i_confirm.payload
        distance, freed, counts = Signal(32), Signal(range(slots + 1)), Signal()
        timer = Signal(32)
        m.d.comb += [
            distance.eq(number - self.confirmed), counts.eq(self.i_confirm.valid & (distance != 0) & (distance <= used)),
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
            m.d.sync += self.count[self.COUNTERS.index("bad_confirm")].eq(1)
        with m.Elif(self.rewind & ~self.i_confirm.valid):
            m.d.sync += [sent.eq(0), timer.eq(0), self.count[self.COUNTERS.index("retransmit")].eq(1)]
        waiting = (used != 0) & (sent == used) & (self.retransmit_after != 0)
        m.d.comb += self.rewind.eq(waiting & (timer >= self.retransmit_after))
        with m.If(~waiting):
            m.d.sync += timer.eq(0)
        with m.Elif(~self.rewind & ~self.i_confirm.valid):
            m.d.sync += timer.eq(timer + 1)
        with m.If(self.load):
            m.d.sync += [self.issued.eq(self.load_number), self.confirmed.eq(self.load_number), used.eq(0), sent.eq(0)]

    def _store(self, m, port):
        """SYNC message -> slot."""
        def count(name):
            return self.count[self.COUNTERS.index(name)].eq(1)

        header = MessageHeader(self.i.payload.data)
        argument = SyncArgument(header.argument)
        head = Signal(RecordHead)
        index = Signal(range(SLOT_BEATS))
        expected = Signal.like(index)
        number = Signal(32)
        m.d.comb += [number.eq(self.issued + 1), head.conn.eq(argument.conn), head.kind.eq(argument.kind)]
        take = Signal()
        m.d.comb += [take.eq(self.i.valid & self.i.ready), port.addr.eq(Cat(index, number[:self.slot_bits]))]
        with m.FSM(name="store"):
            with m.State("HEAD"):
                m.d.comb += [self.i.ready.eq(~self.enable | ~self.full), port.data.eq(head), port.en.eq(take & self.enable)]
                m.d.sync += [index.eq(0), expected.eq(Mux(argument.kind == RecordKind.DELTA, DELTA_BEATS, FULL_BEATS))]
                with m.If(take):
                    m.d.sync += index.eq(1)
                    with m.If(~self.enable):
                        m.d.sync += count("refused_record")
                        m.d.sync += index.eq(0)
                        with m.If(~self.i.payload.last):
                            m.next = "SKIP"
                    with m.Elif(self.i.payload.last | (argument.kind > RecordKind.RETIRE)):
                        m.d.sync += count("bad_record")
                        m.d.sync += index.eq(0)
                        with m.If(~self.i.payload.last):
                            m.next = "SKIP"
                    with m.Else():
                        m.next = "BODY"
            with m.State("BODY"):
                m.d.comb += [self.i.ready.eq(1), port.data.eq(self.i.payload.data), port.en.eq(take)]
                with m.If(take):
                    m.d.sync += index.eq(index + 1)
                    with m.If(self.i.payload.last):
                        with m.If(index == expected):
                            m.d.comb += self.record_done.eq(1)
                            m.d.sync += count("records")
                        with m.Else():
                            m.d.sync += count("bad_record")
                        m.d.sync += index.eq(0)
                        m.next = "HEAD"
                    with m.Elif(index == expected):
                        m.d.sync += count("bad_record")
                        m.d.sync += index.eq(0)
                        m.next = "SKIP"
            with m.State("SKIP"):
                m.d.comb += self.i.ready.eq(1)
                with m.If(take & self.i.payload.last):
                    m.next = "HEAD"

    def _offer(self, m, port):
        """Slot -> o.

        A slot may be overwritten while it is read, after its record was confirmed. The number is therefore the one that
        was asked for, never one from memory: the receiver then takes the mixture for a duplicate.
        """
        index = Signal(range(SLOT_BEATS))
        number = Signal(32)
        last = Signal.like(index)
        step = Signal()
        stored, head = RecordHead(port.data), Signal(RecordHead)
        m.d.comb += [step.eq(~self.o.valid | self.o.ready), port.addr.eq(Cat(index, number[:self.slot_bits])), port.en.eq(step),
                     head.eq(stored), head.number.eq(number)]
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
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.data.eq(head), self.o.payload.last.eq(0), index.eq(2),
                                 last.eq(Mux(head.kind == RecordKind.DELTA, DELTA_BEATS, FULL_BEATS) + 1)]
                    m.next = "BODY"
            with m.State("BODY"):
                with m.If(step):
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.data.eq(port.data), self.o.payload.last.eq(index == last),
                                 index.eq(index + 1)]
                    with m.If(index == last):
                        m.next = "IDLE"
