"""Takes the messages of one cluster apart by addressed unit."""
from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import CoreDone, Done
from ..layouts.lookup import LookupCommand, LookupOp
from ..layouts.message import (
    MessageHeader,
    MessageKind,
    Unit,
    beat_layout,
    beat_signature,
)
from ..lib.skid_buffer import SkidBuffer

__all__ = ["MessageRouter"]


class MessageRouter(wiring.Component):
    """Routes each message of a cluster to the director, the lookup controller or the socket memory controller.

    A Done is held back until every lookup command the same cluster sent before it has left the bus, so that a
    connection's id cannot become free while its keys are still in the table.
    Source: patent §VI, F3 (message bus 314), F7 742.

    Parameters: params; cluster: its number, which becomes CoreDone.cluster.
    Members: i: beats; o_done: stream(CoreDone); o_lookup: stream(LookupCommand); o_socket: beats, whole messages with
    header; lookup_left: In, one lookup command of this cluster has left the bus; count: COUNTERS.
    Latency: 2 clocks (socket), 2 after the last beat (others). Throughput: 1 beat per clock, one clock per message.
    Backpressure: a target that waits holds this cluster's later messages only.
    Drop: COUNTERS bad_unit (unknown unit, or a kind this unit does not take), bad_length; swallowed to `last`.
    Reset: empty.
    """

    COUNTERS = ("bad_unit", "bad_length")

    def __init__(self, params, cluster):
        self.cluster = cluster
        super().__init__({
            "i": In(beat_signature()),
            "o_done": Out(stream.Signature(CoreDone)),
            "o_lookup": Out(stream.Signature(LookupCommand)),
            "o_socket": Out(beat_signature()),
            "lookup_left": In(1),
            "count": Out(unsigned(2)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.skid = skid = SkidBuffer(beat_layout())
        wiring.connect(m, wiring.flipped(self.i), skid.i)
        beat, valid = skid.o.payload, skid.o.valid
        header = MessageHeader(beat.data)
        bad_unit, bad_length = Signal(), Signal()
        m.d.sync += self.count.eq(Cat(bad_unit, bad_length))

        pending = Signal(3)     # lookup commands on their way through the bus
        sent = Signal()
        m.d.comb += sent.eq(self.o_lookup.valid & self.o_lookup.ready)
        m.d.sync += pending.eq(pending + sent - self.lookup_left)

        is_key = (header.kind == MessageKind.INSERT) | (header.kind == MessageKind.DELETE)
        is_established = (header.unit == Unit.LOOKUP) & (header.kind == MessageKind.ESTABLISHED)
        is_socket = ((header.kind == MessageKind.COPY) | (header.kind == MessageKind.RELEASE) |
                     (header.kind == MessageKind.OUTPUT) | (header.kind == MessageKind.SYNC) | (header.kind == MessageKind.CONSUMED))
        command, done = self.o_lookup.payload, self.o_done.payload
        m.d.comb += [self.o_socket.payload.eq(beat), done.cluster.eq(self.cluster)]
        key_low = Signal(64)
        m.d.comb += command.key.as_value()[:64].eq(key_low)
        key_high = Signal(52)
        m.d.comb += command.key.as_value()[64:].eq(key_high)
        core, done_word = Signal(4), Signal(Done)
        m.d.comb += [done.core.eq(core), done.done.eq(done_word)]

        with m.FSM():
            with m.State("HEADER"):
                with m.If(valid):
                    with m.If((header.unit == Unit.SOCKET) & is_socket):
                        m.next = "FORWARD"
                    with m.Else():
                        m.d.comb += skid.o.ready.eq(1)
                        m.d.sync += [
                            core.eq(header.source),
                            command.conn.eq(header.argument[:16]),
                            command.leg.eq(header.argument[16]),
                        ]
                        with m.Switch(header.kind):
                            for kind in (MessageKind.INSERT, MessageKind.DELETE, MessageKind.ESTABLISHED):
                                with m.Case(kind):
                                    m.d.sync += command.op.eq(LookupOp[kind.name])
                        with m.If((header.unit == Unit.DIRECTOR) & (header.kind == MessageKind.DONE)):
                            m.next = "READ_DONE"
                            m.d.comb += bad_length.eq(beat.last)
                        with m.Elif((header.unit == Unit.LOOKUP) & is_key):
                            m.next = "READ_LOW"
                            m.d.comb += bad_length.eq(beat.last)
                        with m.Elif(is_established):
                            m.next = "DISCARD"
                            m.d.comb += bad_length.eq(~beat.last)
                        with m.Else():
                            m.next = "DISCARD"
                            m.d.comb += bad_unit.eq(1)
                        with m.If(beat.last):
                            m.next = "HEADER"
                            with m.If(is_established):
                                m.next = "SEND_COMMAND"
            with m.State("FORWARD"):
                m.d.comb += [self.o_socket.valid.eq(valid), skid.o.ready.eq(self.o_socket.ready)]
                with m.If(valid & skid.o.ready & beat.last):
                    m.next = "HEADER"
            with m.State("DISCARD"):
                m.d.comb += skid.o.ready.eq(1)
                with m.If(valid & beat.last):
                    m.next = "HEADER"
            with m.State("READ_DONE"):
                m.d.comb += skid.o.ready.eq(1)
                m.d.sync += done_word.eq(beat.data)
                with m.If(valid):
                    m.next = "HOLD_DONE"
                    with m.If(~beat.last):
                        m.d.comb += bad_length.eq(1)
                        m.next = "DISCARD"
            with m.State("HOLD_DONE"):
                with m.If(pending == 0):
                    m.next = "SEND_DONE"
            with m.State("SEND_DONE"):
                m.d.comb += self.o_done.valid.eq(1)
                with m.If(self.o_done.ready):
                    m.next = "HEADER"
            with m.State("READ_LOW"):
                m.d.comb += skid.o.ready.eq(1)
                m.d.sync += key_low.eq(beat.data)
                with m.If(valid):
                    m.next = "READ_HIGH"
                    with m.If(beat.last):
                        m.d.comb += bad_length.eq(1)
                        m.next = "HEADER"
            with m.State("READ_HIGH"):
                m.d.comb += skid.o.ready.eq(1)
                m.d.sync += key_high.eq(beat.data)
                with m.If(valid):
                    m.next = "SEND_COMMAND"
                    with m.If(~beat.last):
                        m.d.comb += bad_length.eq(1)
                        m.next = "DISCARD"
            with m.State("SEND_COMMAND"):
                m.d.comb += self.o_lookup.valid.eq(1)
                with m.If(self.o_lookup.ready):
                    m.next = "HEADER"
        return m
