"""Finds the connection of each event, makes new ones, and obeys those who know of others."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import Event, EventKind, FlowKey
from ..layouts.lookup import LookupCommand, LookupOp
from .conn_allocator import ConnAllocator, MarkOp
from .flow_hash import FlowHash, FlowHasher
from .flow_table import FlowTable, TableOp
from .quick_list import QuickList

__all__ = ["LookupController"]

_SYN, _RST, _ACK = 2, 4, 16    # bits of tcp_flags
_PROTOCOL_TCP = 6


class LookupController(wiring.Component):
    """Fills conn, leg, new, noflow and the flow hash of each event, in order.

    A TCP SYN without ACK and RST that has no flow creates one; other TCP without a flow, and every other kind, goes on with
    `noflow`. sack_left of a `new` event is the keyed hash of its key. An established flow never makes room for a new one, and a new
    one is half-open until the program says ESTABLISHED: of those there are half_open_limit at most, so a flood of SYNs leaves room.
    Source: patent §III.A–C, LUC 734.

    Parameters: params; flow_hash: FlowHash.
    Members: i_event, o_event: stream(Event); i_cmd: stream(LookupCommand); o_drop: stream(16), scratch references of dropped
    events with payload; secret: hash key, constant while the table is in use; active: 1 active, 0 standby; half_open_limit: 0 for none;
    in_use, half_open: connections in use, and those of them in a handshake;
    scan_conn, scan_valid: is that conn in use, one clock later (timer unit); count: COUNTERS.
    Latency: 4 clocks without a flow or when the quick list knows it, else 24 to 38 (hash 19, probes 5 to 13).
    Throughput: one event or command at a time.
    Backpressure: commands go first and are served while o_event or o_drop wait, so whoever waits for a command never waits
    for an event. A PURGE looks at every slot, two clocks each. A new connection may wait for the allocator's scan, 2 clocks per id in use.
    Drop: COUNTERS standby_drop (role 0), refused (table_full: no free id; half_open_refused: the limit; insert_failed: both buckets
    full). Events in = hits + created + noflow + standby_drop + refused. Commands: insert_failed, delete_missing, bad_conn (ignored).
    Reset: a sweep of four clocks per connection, during which everything waits; then no flow is known.
    """

    COUNTERS = ("hits", "quick_hits", "created", "noflow", "standby_drop", "refused", "table_full", "half_open_refused",
                "insert_failed", "delete_missing", "purged", "bad_conn")

    def __init__(self, params, flow_hash=None):
        self.params = params
        self.flow_hash = flow_hash or FlowHash()
        super().__init__({
            "i_event": In(stream.Signature(Event)),
            "o_event": Out(stream.Signature(Event)),
            "i_cmd": In(stream.Signature(LookupCommand)),
            "o_drop": Out(stream.Signature(unsigned(16))),
            "secret": In(64),
            "active": In(1),
            "half_open_limit": In(16),
            "in_use": Out(range(params.connections + 1)),
            "half_open": Out(range(params.connections + 1)),
            "scan_conn": In(16),
            "scan_valid": Out(1),
            "count": Out(unsigned(len(self.COUNTERS))),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.connections
        m.submodules.hasher = hasher = FlowHasher(self.flow_hash)
        m.submodules.table = table = FlowTable(self.params)
        m.submodules.quick = quick = QuickList(table.conn_bits)
        m.submodules.allocator = allocator = ConnAllocator(self.params)

        pulse = {name: Signal(name=f"count_{name}") for name in self.COUNTERS}
        m.d.sync += self.count.eq(Cat(pulse[name] for name in self.COUNTERS))

        event = self.o_event.payload        # stays in the output register from arrival on
        key = Signal(FlowKey)
        command = Signal(LookupCommand)
        serving = Signal()                  # a command, otherwise an event
        creates = Signal()
        ask, answer = table.i.payload, table.o.payload
        mark = allocator.i_mark.payload
        crowded, room = Signal(), Signal()  # too many handshakes; a new flow may be made
        m.d.comb += [
            self.in_use.eq(allocator.in_use), self.half_open.eq(allocator.half_open),
            crowded.eq((self.half_open_limit != 0) & (allocator.half_open >= self.half_open_limit)),
            room.eq(allocator.next_valid & ~crowded),
            allocator.scan_conn.eq(self.scan_conn), self.scan_valid.eq(allocator.scan_valid),
            hasher.secret.eq(self.secret), hasher.i.payload.eq(key),
            quick.key.eq(key), quick.new_conn.eq(answer.conn), quick.new_leg.eq(answer.leg),
            ask.key.eq(key), ask.hash.eq(hasher.o.payload[:32]),
            ask.conn.eq(Mux(serving, command.conn, allocator.next)),
            ask.leg.eq(serving & command.leg),
        ]
        with m.If(serving):
            with m.Switch(command.op):
                with m.Case(LookupOp.INSERT):
                    m.d.comb += ask.op.eq(TableOp.STORE)
                with m.Case(LookupOp.PURGE):
                    m.d.comb += ask.op.eq(TableOp.PURGE)
                with m.Default():
                    m.d.comb += ask.op.eq(TableOp.ERASE)
            m.d.comb += mark.conn.eq(command.conn)
            with m.Switch(command.op):
                for op, marked in ((LookupOp.INSERT, MarkOp.INSERT), (LookupOp.ESTABLISHED, MarkOp.ESTABLISHED),
                                   (LookupOp.FREE, MarkOp.FREE), (LookupOp.PURGE, MarkOp.FREE)):
                    with m.Case(op):
                        m.d.comb += mark.op.eq(marked)
        with m.Else():
            m.d.comb += ask.op.eq(Mux(creates & room, TableOp.CREATE, TableOp.FIND))
            m.d.comb += [mark.conn.eq(allocator.next), mark.op.eq(MarkOp.CREATE)]

        arriving = self.i_event.payload
        with m.If(self.o_event.ready):
            m.d.sync += self.o_event.valid.eq(0)
        with m.If(self.o_drop.ready):
            m.d.sync += self.o_drop.valid.eq(0)

        def drop(counter):
            m.d.comb += pulse[counter].eq(1)
            m.d.sync += [self.o_drop.payload.eq(event.scratch_ref), self.o_drop.valid.eq(event.payload_len != 0)]

        with m.FSM():
            with m.State("ACCEPT"):
                m.d.comb += [
                    self.i_cmd.ready.eq(1),
                    self.i_event.ready.eq(~self.i_cmd.valid & ~self.o_event.valid & ~self.o_drop.valid),
                ]
                with m.If(self.i_cmd.valid):
                    m.d.sync += [serving.eq(1), command.eq(self.i_cmd.payload), key.eq(self.i_cmd.payload.key)]
                    m.next = "CHECK_COMMAND"
                with m.Elif(self.i_event.valid & self.i_event.ready):
                    m.d.sync += [
                        serving.eq(0), event.eq(arriving),
                        event.conn.eq(0), event.leg.eq(0), event.new.eq(0), event.noflow.eq(0),
                        creates.eq((arriving.tcp_flags & (_SYN | _RST | _ACK)) == _SYN),
                        key.src_ip.eq(arriving.src_ip), key.dst_ip.eq(arriving.dst_ip),
                        key.src_port.eq(arriving.src_port), key.dst_port.eq(arriving.dst_port),
                        key.protocol.eq(_PROTOCOL_TCP), key.iface.eq(arriving.iface),
                    ]
                    m.next = "ASK_QUICK"
            with m.State("CHECK_COMMAND"):
                m.next = "HASH"
                with m.If(command.conn >= n):
                    m.d.comb += pulse["bad_conn"].eq(1)
                    m.next = "ACCEPT"
                with m.Elif((command.op == LookupOp.FREE) | (command.op == LookupOp.ESTABLISHED)):
                    m.next = "MARK"
                with m.Elif(command.op == LookupOp.PURGE):
                    m.next = "ASK_TABLE"
            with m.State("ASK_QUICK"):      # the quick list compares in this clock
                m.next = "CLASSIFY"
            with m.State("CLASSIFY"):
                m.next = "ACCEPT"
                with m.If(~self.active):
                    drop("standby_drop")
                with m.Elif(event.kind != EventKind.TCP):
                    m.d.comb += pulse["noflow"].eq(1)
                    m.d.sync += [event.noflow.eq(1), self.o_event.valid.eq(1)]
                with m.Elif(quick.hit):
                    m.d.comb += [pulse["hits"].eq(1), pulse["quick_hits"].eq(1)]
                    m.d.sync += [event.conn.eq(quick.conn), event.leg.eq(quick.leg), self.o_event.valid.eq(1)]
                with m.Else():
                    m.next = "HASH"
            with m.State("HASH"):
                m.d.comb += hasher.i.valid.eq(1)
                with m.If(hasher.i.ready):
                    m.next = "ASK_TABLE"
            with m.State("ASK_TABLE"):
                # an id that can be found is waited for; the scan is bounded
                found = serving | ~creates | crowded | allocator.next_valid | (allocator.in_use == n)
                unhashed = serving & (command.op == LookupOp.PURGE)
                m.d.comb += table.i.valid.eq((hasher.o.valid | unhashed) & found)
                with m.If(table.i.valid & table.i.ready):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += [table.o.ready.eq(1), hasher.o.ready.eq(table.o.valid)]
                with m.If(table.o.valid):
                    m.next = "ACCEPT"
                    with m.If(serving & (command.op == LookupOp.INSERT)):
                        m.d.comb += [quick.remember.eq(answer.stored), pulse["insert_failed"].eq(~answer.stored)]
                        m.next = "MARK"
                    with m.Elif(serving & (command.op == LookupOp.PURGE)):
                        m.d.comb += [quick.forget_all.eq(1), pulse["purged"].eq(1)]
                        m.next = "MARK"
                    with m.Elif(serving):
                        m.d.comb += [quick.forget.eq(1), pulse["delete_missing"].eq(~answer.hit)]
                    with m.Elif(answer.hit):
                        m.d.comb += [pulse["hits"].eq(1), quick.remember.eq(1)]
                        m.d.sync += [event.conn.eq(answer.conn), event.leg.eq(answer.leg), self.o_event.valid.eq(1)]
                    with m.Elif(answer.stored):
                        m.d.comb += [pulse["created"].eq(1), quick.remember.eq(1)]
                        m.d.sync += event.sack_left.eq(hasher.o.payload[32:])
                        m.d.sync += [event.conn.eq(answer.conn), event.leg.eq(0), event.new.eq(1)]
                        m.next = "MARK"
                    with m.Elif(creates):
                        drop("refused")
                        m.d.comb += [
                            pulse["table_full"].eq(~crowded & ~allocator.next_valid), pulse["half_open_refused"].eq(crowded),
                            pulse["insert_failed"].eq(room),
                        ]
                    with m.Else():
                        m.d.comb += pulse["noflow"].eq(1)
                        m.d.sync += [event.noflow.eq(1), self.o_event.valid.eq(1)]
            with m.State("MARK"):
                m.d.comb += allocator.i_mark.valid.eq(1)
                with m.If(allocator.i_mark.ready):
                    with m.If(~serving):
                        m.d.sync += self.o_event.valid.eq(1)
                    m.next = "ACCEPT"
        return m
