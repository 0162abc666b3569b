"""The hash table from flow keys to connections."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import FlowKey

__all__ = ["FlowTable", "TableOp", "WAYS"]

WAYS = 4


class TableOp(enum.Enum, shape=3):
    """What is done with a key."""

    FIND = 0
    CREATE = 1      # find; store conn and leg when the key is not there
    STORE = 2       # store, over what the key had
    ERASE = 3
    PURGE = 4       # erase every key of conn


class FlowTable(wiring.Component):
    """Two-choice buckets of four slots in block RAM, probed one slot per clock; every probe compares the full key.

    There is a bucket for each connection: four slots for its two keys, so the table is at most half full. Where a key
    may be is part of the contract, because it decides which keys are refused:

    - With n buckets of log2(n) address bits, the first bucket of a key is the low bits of its hash, the second bucket
      the low bits of hash[31:16]. When both are equal, the second is the bucket whose number differs in bit 0.
    - A new key goes into the bucket with more free slots, into the first when they have equally many.
    - No key is moved or evicted; a key is refused when both its buckets are full.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.

    Members
    -------
    i : In(stream of request)
        `op`, `key`, `hash` (32 bits), `conn` and `leg`.
    o : Out(stream of result)
        One per request. `hit`: the key was there. `stored`: CREATE or STORE has written. Neither after CREATE or
        STORE: both buckets were full. `conn`, `leg`: what the table has for the key now. After PURGE all fields but
        `hit` and `stored`, which are 0, are undefined.

    Timing
    ------
    Latency 5 to 13 clocks; PURGE 2 per slot. One operation at a time; `i` waits until `o` is taken.

    Drop
    ----
    None.

    Reset
    -----
    A sweep empties the table, one slot per clock; `i` waits.

    Source
    ------
    Patent §III.A (hash lookup).
    """

    def __init__(self, params):
        self.params = params
        self.conn_bits = conn_bits = (params.connections - 1).bit_length()
        request = data.StructLayout({"op": TableOp, "key": FlowKey, "hash": unsigned(32), "conn": unsigned(conn_bits),
                                     "leg": unsigned(1)})
        result = data.StructLayout({"hit": unsigned(1), "stored": unsigned(1), "conn": unsigned(conn_bits),
                                    "leg": unsigned(1)})
        super().__init__({"i": In(stream.Signature(request)), "o": Out(stream.Signature(result))})

    def elaborate(self, platform):
        m = Module()
        n, bits = self.params.connections, self.conn_bits
        entry_layout = data.StructLayout({"valid": unsigned(1), "leg": unsigned(1), "conn": unsigned(bits),
                                          "key": FlowKey})
        m.submodules.slots = slots = memory.Memory(
            shape=entry_layout, depth=n * WAYS, init=[], attrs={"no_rw_check": 1})
        write, read = slots.write_port(), slots.read_port(domain="sync")

        request = Signal.like(self.i.payload)
        first, second = request.hash[:bits], Signal(bits)
        other = request.hash[16:16 + bits]
        m.d.comb += second.eq(Mux(other == first, other ^ 1, other))

        step = Signal(range(2 * WAYS + 2))      # slot step is read, slot step - 2 is looked at
        second_half = step >= WAYS
        purging = Signal()
        sweep = Signal(range(n * WAYS))
        m.d.comb += [read.en.eq(1), read.addr.eq(Mux(purging, sweep, Cat(step[:2], Mux(second_half, second, first))))]
        entry = Signal(entry_layout)
        looked = Signal(3)                      # number of the slot in `entry`
        m.d.sync += [entry.eq(read.data), looked.eq(step - 1)]
        match = Signal()
        m.d.comb += match.eq(entry.valid & (entry.key.as_value() == request.key.as_value()))

        hit = Signal()
        slot = Signal(range(n * WAYS))
        free = [Signal(range(WAYS + 1), name=f"free_{b}") for b in range(2)]
        way = [Signal(range(WAYS), name=f"way_{b}") for b in range(2)]
        to_second = Signal()                    # a new key goes into the second bucket
        room = Signal()
        m.d.comb += [to_second.eq(free[1] > free[0]), room.eq((free[0] != 0) | (free[1] != 0))]
        m.d.comb += [
            write.addr.eq(slot),
            write.data.valid.eq(request.op != TableOp.ERASE),
            write.data.key.eq(request.key),
            write.data.conn.eq(request.conn),
            write.data.leg.eq(request.leg),
        ]
        with m.FSM():
            with m.State("SWEEP"):
                m.d.comb += [write.addr.eq(sweep), write.data.valid.eq(0), write.en.eq(1)]
                m.d.sync += sweep.eq(sweep + 1)
                with m.If(sweep == n * WAYS - 1):
                    m.next = "ACCEPT"
            with m.State("ACCEPT"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [request.eq(self.i.payload), step.eq(0), hit.eq(0)]
                m.d.sync += [signal.eq(0) for signal in (*free, *way)]
                with m.If(self.i.valid):
                    m.next = "PROBE"
                    with m.If(self.i.payload.op == TableOp.PURGE):
                        m.next = "PURGE_READ"
            with m.State("PURGE_READ"):
                m.d.comb += purging.eq(1)
                m.next = "PURGE"
            with m.State("PURGE"):
                m.d.comb += [write.addr.eq(sweep), write.data.valid.eq(0),
                             write.en.eq(read.data.valid & (read.data.conn == request.conn))]
                m.d.sync += sweep.eq(sweep + 1)
                m.next = "PURGE_READ"
                with m.If(sweep == n * WAYS - 1):
                    m.d.sync += [self.o.valid.eq(1), self.o.payload.hit.eq(0), self.o.payload.stored.eq(0)]
                    m.next = "ANSWER"
            with m.State("PROBE"):
                m.d.sync += step.eq(step + 1)
                with m.If(step >= 2):
                    for b in range(2):
                        with m.If((looked[2] == b) & ~entry.valid):
                            m.d.sync += [free[b].eq(free[b] + 1), way[b].eq(looked[:2])]
                    with m.If(match):
                        m.d.sync += [
                            hit.eq(1), slot.eq(Cat(looked[:2], Mux(looked[2], second, first))),
                            self.o.payload.conn.eq(entry.conn), self.o.payload.leg.eq(entry.leg),
                        ]
                        m.next = "ACT"
                    with m.Elif(step == 2 * WAYS + 1):
                        m.next = "PLACE"
            with m.State("PLACE"):
                m.d.sync += slot.eq(Mux(to_second, Cat(way[1], second), Cat(way[0], first)))
                m.next = "ACT"
            with m.State("ACT"):
                stores = (request.op == TableOp.STORE) | ((request.op == TableOp.CREATE) & ~hit)
                stored = Signal()
                m.d.comb += [
                    stored.eq(stores & (hit | room)),
                    write.en.eq(stored | ((request.op == TableOp.ERASE) & hit)),
                ]
                m.d.sync += [self.o.valid.eq(1), self.o.payload.hit.eq(hit), self.o.payload.stored.eq(stored)]
                with m.If(stored):
                    m.d.sync += [self.o.payload.conn.eq(request.conn), self.o.payload.leg.eq(request.leg)]
                m.next = "ANSWER"
            with m.State("ANSWER"):
                with m.If(self.o.ready):
                    m.d.sync += self.o.valid.eq(0)
                    m.next = "ACCEPT"
        return m
