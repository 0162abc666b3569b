"""Which flows begin anew with their next event."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["RestartMarks"]


class RestartMarks(wiring.Component):
    """One bit per connection: its last workspace was void, so that flowstate memory holds an older state than the outside has seen.

    Source: architecture §4 rule 5.

    Parameters: params.
    Members: conn: In, marked: Out one clock later; unmark: the mark of conn is dealt with; mark, lost_conn: sets the mark of
    another connection, never with unmark; ready: Out.
    Latency: 1 clock; a mark is seen by a search in the next clock. Reset: a sweep of one clock per connection removes all marks.
    """

    def __init__(self, params):
        self.params = params
        super().__init__({
            "conn": In(range(params.connections)), "marked": Out(1), "unmark": In(1),
            "mark": In(1), "lost_conn": In(16), "ready": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        n = self.params.connections
        m.submodules.bits = bits = memory.Memory(shape=1, depth=n, init=[], attrs={"no_rw_check": 1})
        write, read = bits.write_port(), bits.read_port()
        sweep = Signal(range(n))
        m.d.comb += [
            read.addr.eq(self.conn), read.en.eq(1), self.marked.eq(read.data),
            write.en.eq(~self.ready | self.mark | self.unmark), write.data.eq(self.ready & self.mark),
            write.addr.eq(Mux(self.ready, Mux(self.mark, self.lost_conn, self.conn), sweep)),
        ]
        with m.If(~self.ready):
            m.d.sync += [sweep.eq(sweep + 1), self.ready.eq(sweep == n - 1)]
        return m
