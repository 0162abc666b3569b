"""Message port of a protocol core: sends messages out of the data memory and reports the end of an event."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import Done, EndCause
from ..layouts.message import MessageHeader, MessageKind, Unit, beat_signature
from ..layouts.socket import CopyHeader
from .ports import map_of, slot_meta

__all__ = ["MessagePort"]


class MessagePort(wiring.Component):
    """Sends messages beat by beat from the data memory; the end of an event appends DONE while the core goes on.

    After a trap the port releases the payload of the event, unless a RELEASE, or a COPY without `keep`, has left during
    the event.

    Parameters
    ----------
    params : SppsParams
        workspaces, event_slots.

    Members
    -------
    send : In(1)
        A `send` is in execute; held until `done`.
    legal : In(1)
        It may begin.
    location : In(range(beats))
        Address of its first beat.
    after_first : In(5), beats
        Beats that follow the first.
    more : In(1)
        The message goes on with the next `send`.
    done : Out(1)
        Its last beat is being read.
    address : Out(range(beats))
        Beat to read.
    free : Out(1)
        The output of the block RAM may change.
    hold : Out(1)
        It holds a beat that has to leave.
    memory_data : In(64)
        The output of the block RAM.
    finish, trap, event, deadline, close, cause : In
        End of the event: it ended, by a trap; its slot_meta; operands of `eoe`. Taken unless `ending`.
    ending : Out(1)
        The DONE of the event before has not left.
    open : Out(1)
        A message is not complete.
    cut, released : Out(1), pulses
        An open message was closed with beats of zeros; the payload was released.
    o : Out(stream of beats)
        Messages.

    Timing
    ------
    1 clock from `send` to `o.valid`. Throughput 1 beat per clock. The output of the block RAM holds the beat that
    waits, so nothing may be read until it is `free`, which is combinational from `o.ready`.

    Reset
    -----
    No message open.

    Source
    ------
    Patent §III.F ("transmit a done message"), §VI.
    """

    def __init__(self, params):
        beats = (map_of(params).size - 1).bit_length() - 1
        super().__init__({
            "send": In(1), "legal": In(1), "location": In(beats), "after_first": In(5), "more": In(1), "done": Out(1),
            "address": Out(beats), "free": Out(1), "hold": Out(1), "memory_data": In(64),
            "finish": In(1), "trap": In(1), "event": In(slot_meta(params)), "deadline": In(32), "close": In(1),
            "cause": In(EndCause),
            "ending": Out(1), "open": Out(1), "cut": Out(1), "released": Out(1),
            "o": Out(beat_signature()),
        })

    def elaborate(self, platform):
        m = Module()
        sending, step, last = Signal(), Signal(), Signal()      # not the first beat; a beat is read; it is the last one
        following, left, remaining = Signal.like(self.address), Signal(5), Signal(5)      # after the beat that is read
        closes = Signal()
        m.d.comb += [
            self.free.eq(~self.hold | self.o.ready), step.eq(self.send & self.free & ~self.ending),
            self.address.eq(Mux(sending, following, self.location)), remaining.eq(Mux(sending, left, self.after_first)),
            last.eq(remaining == 0), self.done.eq(step & last),
        ]
        with m.If(self.free):
            m.d.sync += self.hold.eq(step & self.legal)
        with m.If(step & self.legal):
            m.d.sync += [
                sending.eq(~last), following.eq(self.address + 1), left.eq(remaining - 1), closes.eq(last & ~self.more),
            ]
            with m.If(last):
                m.d.sync += self.open.eq(self.more)

        # what the messages of the event are: by their headers, as they leave
        # header in `memory_data`; beats so far; promised
        first, starts, sent, length = Signal(), Signal(), Signal(8), Signal(8)
        passing = Signal(MessageHeader)
        settled, settles = Signal(), Signal()       # the payload is no longer the event's
        m.d.comb += [
            passing.eq(self.memory_data), starts.eq(~sending & ~self.open),
            settles.eq(self.hold & first & (passing.unit == Unit.SOCKET)
                       & (((passing.kind == MessageKind.COPY) & ~CopyHeader(passing.argument).keep)
                          | (passing.kind == MessageKind.RELEASE))),
        ]
        with m.If(self.free):
            m.d.sync += first.eq(step & self.legal & starts)
        with m.If(step & self.legal):
            m.d.sync += sent.eq(Mux(starts, 1, sent + 1))
        with m.If(self.hold & first):
            m.d.sync += length.eq(passing.length)

        event, deadline, close, trapped, owes = Signal(self.event.shape()), Signal(32), Signal(), Signal(), Signal()
        cause = Signal(EndCause)
        header, done, release = Signal(MessageHeader), Signal(Done), Signal(MessageHeader)
        m.d.comb += [
            header.kind.eq(MessageKind.DONE), header.unit.eq(Unit.DIRECTOR), header.length.eq(1),
            done.conn.eq(event.conn), done.workspace.eq(event.workspace), done.noflow.eq(event.noflow),
            done.close.eq(close & ~trapped), done.trap.eq(trapped),
            done.cause.eq(Mux(trapped, EndCause.OTHER, cause)), done.deadline.eq(Mux(trapped, 0, deadline)),
            release.kind.eq(MessageKind.RELEASE), release.unit.eq(Unit.SOCKET), release.argument.eq(event.ref),
        ]
        owing = self.trap & self.event.payload & ~settled & ~settles
        with m.If(~self.ending):
            m.d.sync += [
                event.eq(self.event), deadline.eq(self.deadline), close.eq(self.close), cause.eq(self.cause),
                trapped.eq(self.trap),
                owes.eq(owing), settled.eq((settled | settles) & ~self.finish),
            ]
        m.d.comb += [
            self.o.valid.eq(self.hold | self.ending), self.o.p.data.eq(self.memory_data), self.o.p.last.eq(closes),
        ]
        gone = Signal()     # a beat of the end
        m.d.comb += gone.eq(self.o.ready & ~self.hold)
        with m.FSM(name="port"):
            with m.State("WAIT"):
                with m.If(self.finish):
                    m.next = "HEAD"
                    with m.If(self.open):
                        m.next = "CUT"
                    with m.Elif(owing):
                        m.next = "RELEASE"
            with m.State("CUT"):        # a beat of zeros, two if one would make the message as long as it should be
                m.d.comb += self.ending.eq(1)
                with m.If(~self.hold):
                    m.d.comb += [self.o.p.data.eq(0), self.o.p.last.eq(length != sent)]
                with m.If(gone):
                    m.d.sync += sent.eq(sent + 1)
                    with m.If(length != sent):
                        m.d.comb += self.cut.eq(1)
                        m.d.sync += self.open.eq(0)
                        m.next = "HEAD"
                        with m.If(owes):
                            m.next = "RELEASE"
            with m.State("RELEASE"):
                m.d.comb += self.ending.eq(1)
                with m.If(~self.hold):
                    m.d.comb += [self.o.p.data.eq(release), self.o.p.last.eq(1)]
                with m.If(gone):
                    m.d.comb += self.released.eq(1)
                    m.next = "HEAD"
            with m.State("HEAD"):
                m.d.comb += self.ending.eq(1)
                with m.If(~self.hold):
                    m.d.comb += [self.o.p.data.eq(header), self.o.p.last.eq(0)]
                with m.If(gone):
                    m.next = "REPORT"
            with m.State("REPORT"):
                m.d.comb += [self.ending.eq(1), self.o.p.data.eq(done), self.o.p.last.eq(1)]
                with m.If(self.o.ready):
                    m.next = "WAIT"
        return m
