"""Message port of a protocol core: streams messages out of the data memory and reports the end of an event."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.message import Done, MessageHeader, MessageKind, Unit, beat_layout
from .data_memory import map_of
from .event_slots import slot_meta

__all__ = ["MessagePort"]


class MessagePort(wiring.Component):
    """`send` reads one 64-bit beat per clock; the end of an event appends the message DONE.

    Whoever traps can no longer give the event's payload back: unless a COPY or RELEASE has left during the event, the port does.
    Source: patent §III.F ("transmit a done message"), §VI.
    Members: send, location (beat address), beats, more: the instruction, held while it waits; done: it is complete;
    active, address, read: reads after the first, which the core issues itself; memory_data. finish, trap, event,
    deadline, close (the latter two one clock later): end of event; ending, finished; released: the payload was given back. open: a message goes on. cut: an open message was closed by a
    beat of zeros. o: beats.
    Latency: 1 clock from send to o.valid. Throughput: 1 beat per clock.
    Backpressure: the block RAM's output holds the beat that waits, so nothing else may read until done.
    Reset: no message open.
    """

    def __init__(self, params):
        beats = (map_of(params).size - 1).bit_length() - 1
        super().__init__({
            "send": In(1), "location": In(beats), "beats": In(6), "more": In(1), "done": Out(1),
            "active": Out(1), "address": Out(beats), "read": Out(1), "memory_data": In(64),
            "finish": In(1), "trap": In(1), "event": In(slot_meta(params)), "deadline": In(32), "close": In(1),
            "ending": Out(1), "open": Out(1), "finished": Out(1), "cut": Out(1), "released": Out(1),
            "o": Out(stream.Signature(beat_layout())),
        })

    def elaborate(self, platform):
        m = Module()
        left, trapped = Signal(6), Signal()
        header, done, sent = Signal(MessageHeader), Signal(Done), Signal(MessageHeader)
        first = Signal()        # the next beat is a header
        missing = Signal(8)     # beats that the open message's header promises
        settled = Signal()      # the payload is no longer this event's
        owes = Signal()
        release = Signal(MessageHeader)
        m.d.comb += [
            header.kind.eq(MessageKind.DONE), header.unit.eq(Unit.DIRECTOR), header.length.eq(1),
            done.conn.eq(self.event.conn), done.workspace.eq(self.event.workspace), done.noflow.eq(self.event.noflow),
            done.close.eq(self.close & ~trapped), done.trap.eq(trapped),
            done.deadline.eq(Mux(trapped, 0, self.deadline)),
            release.kind.eq(MessageKind.RELEASE), release.unit.eq(Unit.SOCKET), release.argument.eq(self.event.ref),
            sent.eq(self.memory_data), owes.eq(self.event.payload & ~settled),
        ]
        with m.FSM(name="port"):
            with m.State("WAIT"):
                with m.If(self.finish):
                    m.d.sync += trapped.eq(self.trap)
                    m.next = "HEAD"
                    with m.If(self.trap & owes):
                        m.next = "RELEASE"
                    with m.If(self.open):
                        m.next = "CUT"
                with m.Elif(self.send):
                    m.d.sync += [self.address.eq(self.location + 1), left.eq(self.beats - 1), first.eq(~self.open)]
                    m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += [
                    self.active.eq(1), self.o.valid.eq(1), self.o.p.data.eq(self.memory_data),
                    self.o.p.last.eq((left == 0) & ~self.more),
                ]
                with m.If(self.o.ready):
                    m.d.sync += [self.address.eq(self.address + 1), left.eq(left - 1), first.eq(0), missing.eq(Mux(first, sent.length, missing - 1))]
                    with m.If(first & (sent.unit == Unit.SOCKET)
                              & ((sent.kind == MessageKind.COPY) | (sent.kind == MessageKind.RELEASE))):
                        m.d.sync += settled.eq(1)
                    with m.If(left == 0):
                        m.d.comb += self.done.eq(1)
                        m.d.sync += self.open.eq(self.more)
                        m.next = "WAIT"
                    with m.Else():
                        m.d.comb += self.read.eq(1)
            with m.State("CUT"):
                # one beat of zeros, two if one would make the message as long as it should be
                m.d.comb += [self.ending.eq(1), self.o.valid.eq(1), self.o.p.last.eq(missing != 1)]
                with m.If(self.o.ready):
                    m.d.sync += missing.eq(0)
                    with m.If(self.o.p.last):
                        m.d.comb += self.cut.eq(1)
                        m.d.sync += self.open.eq(0)
                        m.next = "HEAD"
                        with m.If(trapped & owes):
                            m.next = "RELEASE"
            with m.State("RELEASE"):
                m.d.comb += [self.ending.eq(1), self.o.valid.eq(1), self.o.p.data.eq(release), self.o.p.last.eq(1)]
                with m.If(self.o.ready):
                    m.d.comb += self.released.eq(1)
                    m.next = "HEAD"
            with m.State("HEAD"):
                m.d.comb += [self.ending.eq(1), self.o.valid.eq(1), self.o.p.data.eq(header)]
                with m.If(self.o.ready):
                    m.next = "REPORT"
            with m.State("REPORT"):
                m.d.comb += [self.ending.eq(1), self.o.valid.eq(1), self.o.p.data.eq(done), self.o.p.last.eq(1)]
                with m.If(self.o.ready):
                    m.d.comb += self.finished.eq(1)
                    m.d.sync += settled.eq(0)
                    m.next = "WAIT"
        return m
