"""The connections in TIME-WAIT in the order in which they entered it."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, enum, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from .marks import Mark, MarkOp

__all__ = ["TimeWaitQueue"]


class _State(enum.Enum, shape=2):
    """Of a connection."""

    OTHER = 0
    WAITING = 1     # in the queue
    ENDING = 2      # its key has been deleted, or it has been chosen: its id is about to be freed


class TimeWaitQueue(wiring.Component):
    """A doubly linked list in memory: a connection enters at the end and leaves from anywhere in constant time.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.

    Members
    -------
    i_mark : In(stream of Mark)
        TIME_WAIT enters, once; ENDING and FREE leave. The other changes have no effect here.
    oldest : Out(range(connections))
        The connection that has waited longest.
    oldest_valid : Out(1)
        There is one.
    ending : Out(range(connections + 1)), connections
        Those that have been marked ENDING and are not free yet.

    Timing
    ------
    A mark takes 3 clocks. `i_mark` waits during a mark and the sweep after reset.

    Drop
    ----
    A mark of an id that does not exist has no effect.

    Reset
    -----
    A sweep empties the queue, one id per clock.

    Source
    ------
    RFC 9293 §3.4.1, §3.10.7.4 (TIME-WAIT).
    """

    def __init__(self, params):
        self.params = params
        n = params.connections
        super().__init__({
            "i_mark": In(stream.Signature(Mark)),
            "oldest": Out(range(n)), "oldest_valid": Out(1),
            "ending": Out(range(n + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.connections
        conn = range(n)

        def table(name, shape):
            m.submodules[name] = made = memory.Memory(shape=shape, depth=n, init=[], attrs={"no_rw_check": 1})
            return made.write_port(), made.read_port(domain="sync")
        before_write, before_read = table("before", conn)
        after_write, after_read = table("after", conn)
        state_write, state_read = table("state", data.StructLayout({"state": _State}))
        mark = Signal(Mark)
        head, tail = self.oldest, Signal(conn)
        length = Signal(range(n + 1))
        was, becomes = Signal(_State), Signal(_State)
        before, after = before_read.data, after_read.data
        joins, leaves = Signal(), Signal()
        m.d.comb += [
            self.oldest_valid.eq(length != 0), was.eq(state_read.data.state),
            *(port.addr.eq(mark.conn) for port in (before_read, after_read, state_read)),
            *(port.en.eq(1) for port in (before_read, after_read, state_read)),
            state_write.addr.eq(mark.conn), state_write.data.state.eq(becomes), becomes.eq(was),
            joins.eq((was == _State.OTHER) & (becomes == _State.WAITING)),
            leaves.eq((was == _State.WAITING) & (becomes != _State.WAITING)),
            # joining: behind the tail; leaving: the two neighbours become neighbours of each other
            before_write.addr.eq(Mux(joins, mark.conn, after)), before_write.data.eq(Mux(joins, tail, before)),
            after_write.addr.eq(Mux(joins, tail, before)), after_write.data.eq(Mux(joins, mark.conn, after)),
        ]
        with m.Switch(mark.op):
            with m.Case(MarkOp.TIME_WAIT):
                with m.If(was == _State.OTHER):
                    m.d.comb += becomes.eq(_State.WAITING)
            with m.Case(MarkOp.ENDING):
                m.d.comb += becomes.eq(_State.ENDING)
            with m.Case(MarkOp.FREE):
                m.d.comb += becomes.eq(_State.OTHER)
        sweep = Signal(conn)
        with m.FSM():
            with m.State("SWEEP"):
                m.d.comb += [state_write.addr.eq(sweep), state_write.data.state.eq(_State.OTHER), state_write.en.eq(1)]
                m.d.sync += sweep.eq(sweep + 1)
                with m.If(sweep == n - 1):
                    m.next = "ACCEPT"
            with m.State("ACCEPT"):
                m.d.comb += self.i_mark.ready.eq(1)
                m.d.sync += mark.eq(self.i_mark.payload)
                with m.If(self.i_mark.valid):
                    m.next = "READ"
            with m.State("READ"):
                m.next = "WRITE"
            with m.State("WRITE"):
                m.next = "ACCEPT"
                with m.If(mark.conn < n):
                    m.d.comb += state_write.en.eq(1)
                    m.d.sync += [
                        self.ending.eq(self.ending + ((was != _State.ENDING) & (becomes == _State.ENDING))
                                       - ((was == _State.ENDING) & (becomes != _State.ENDING))),
                        length.eq(length + joins - leaves),
                    ]
                    with m.If(joins):
                        m.d.comb += [before_write.en.eq(1), after_write.en.eq(length != 0)]
                        m.d.sync += tail.eq(mark.conn)
                        with m.If(length == 0):
                            m.d.sync += head.eq(mark.conn)
                    with m.Elif(leaves):
                        first, last = mark.conn == head, mark.conn == tail
                        m.d.comb += [before_write.en.eq(~last), after_write.en.eq(~first)]
                        with m.If(first):
                            m.d.sync += head.eq(after)
                        with m.If(last):
                            m.d.sync += tail.eq(before)
        return m
