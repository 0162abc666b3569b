"""Which flows start again with their next event."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In

from .ports import RestartSearch

__all__ = ["RestartMarks"]


class RestartMarks(wiring.Component):
    """One bit per connection: its last workspace was void.

    Flowstate memory then holds an older state of the flow than the peers have seen.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.

    Members
    -------
    search : In(RestartSearch)
        Reads and removes the mark of one connection.
    mark : In(1)
        Sets the mark of `lost_conn`. Never in a clock with `search.unmark`.
    lost_conn : In(16)
        Connection to mark.

    Timing
    ------
    Latency 1 clock; a search in the clock after `mark` sees it.

    Reset
    -----
    A sweep of one clock per connection removes all marks; `search.ready` is low meanwhile.

    Source
    ------
    Architecture §4 rule 5.
    """

    def __init__(self, params):
        self.params = params
        self._swept = Signal()
        super().__init__({
            "search": In(RestartSearch((params.connections - 1).bit_length())), "mark": In(1), "lost_conn": In(16),
        })

    def elaborate(self, platform):
        m = Module()
        n, search, swept = self.params.connections, self.search, self._swept
        m.submodules.bits = bits = memory.Memory(shape=1, depth=n, init=[], attrs={"no_rw_check": 1})
        write, read = bits.write_port(), bits.read_port()
        sweep = Signal(range(n))
        m.d.comb += [
            read.addr.eq(search.conn), read.en.eq(1), search.marked.eq(read.data), search.ready.eq(swept),
            write.en.eq(~swept | self.mark | search.unmark), write.data.eq(swept & self.mark),
            write.addr.eq(Mux(swept, Mux(self.mark, self.lost_conn, search.conn), sweep)),
        ]
        with m.If(~swept):
            m.d.sync += [sweep.eq(sweep + 1), swept.eq(sweep == n - 1)]
        return m
