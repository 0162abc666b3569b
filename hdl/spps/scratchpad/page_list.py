"""Free list of the scratchpad's pages."""
from amaranth.hdl import Module, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["PageList", "chain_layout"]


def chain_layout(pages):
    """Return the layout of a chain to give back: first page, last page, number of pages."""
    return data.StructLayout({"head": range(pages), "tail": range(pages), "count": range(pages + 1)})


class PageList(wiring.Component):
    """Linked list of free pages, from which chains are taken and to which they are returned.

    A chain is a stretch of this list, so taking pages writes no link. `commit` and `rollback` must not come in the
    clock of a `take`.

    Parameters
    ----------
    pages : int
        Number of pages, a power of two from 2. Raises ValueError otherwise.

    Members
    -------
    available : Out(1)
        `next` is valid.
    next : Out(range(pages))
        The page that `take` takes.
    take : In(1), pulse
        Take `next`; only while `available`.
    commit : In(1), pulse
        Keep the pages taken since the last commit or rollback: they are a chain.
    rollback : In(1), pulse
        Give these pages back.
    i_free : In(stream of chain_layout(pages))
        Chains to give back.
    link_page : In(range(pages))
        A page of a chain.
    link_next : Out(range(pages))
        One clock after `link_page`: the page behind it in its chain.
    free_pages : Out(range(pages + 1)), pages
        Pages in the list.

    Timing
    ------
    `available` is high again two clocks after `take`. A chain of any length is given back in one clock. `i_free` waits
    while pages are taken.

    Drop
    ----
    None.

    Reset
    -----
    The links are written one page per clock; nothing is available before.

    Source
    ------
    Patent §II: a block of one or more pages, identified by the reference ID of the first page.
    """

    def __init__(self, pages):
        if pages < 2 or pages & (pages - 1):
            raise ValueError(f"pages={pages!r}: must be a power of two from 2")
        self.pages = pages
        super().__init__({
            "available": Out(1), "next": Out(range(pages)), "take": In(1), "commit": In(1), "rollback": In(1),
            "i_free": In(stream.Signature(chain_layout(pages))),
            "link_page": In(range(pages)), "link_next": Out(range(pages)),
            "free_pages": Out(range(pages + 1)),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.links = links = memory.Memory(shape=range(self.pages), depth=self.pages, init=[],
                                                   attrs={"no_rw_check": 1})
        write, fetch, walk = links.write_port(), links.read_port(), links.read_port()
        swept, fetching = Signal(), Signal()
        tail = Signal(range(self.pages), init=self.pages - 1)
        sweep = Signal(range(self.pages))
        first = Signal(range(self.pages))       # first of the pages taken and not committed
        taken = Signal(range(self.pages + 1))
        m.d.comb += [
            walk.addr.eq(self.link_page), self.link_next.eq(walk.data),
            fetch.addr.eq(self.next), fetch.en.eq(self.take),
            self.i_free.ready.eq(swept & ~self.take & ~fetching & ~self.rollback),
        ]
        m.d.sync += fetching.eq(0)
        with m.If(~swept):
            m.d.comb += [write.en.eq(1), write.addr.eq(sweep), write.data.eq(sweep + 1)]
            m.d.sync += sweep.eq(sweep + 1)
            with m.If(sweep == self.pages - 1):
                m.d.sync += [swept.eq(1), self.available.eq(1), self.free_pages.eq(self.pages)]
        with m.Elif(self.take):
            m.d.sync += [
                self.available.eq(0), fetching.eq(self.free_pages != 1),
                self.free_pages.eq(self.free_pages - 1), taken.eq(taken + 1),
            ]
            with m.If(taken == 0):
                m.d.sync += first.eq(self.next)
        with m.Elif(self.rollback):
            with m.If(taken != 0):
                m.d.sync += [
                    self.next.eq(first), self.available.eq(1), self.free_pages.eq(self.free_pages + taken), taken.eq(0),
                ]
        with m.Else():
            with m.If(fetching):
                m.d.sync += [self.next.eq(fetch.data), self.available.eq(1)]
            with m.If(self.i_free.valid & self.i_free.ready):
                # With an empty list the link is written too: a rollback may still need it.
                m.d.comb += [write.en.eq(1), write.addr.eq(tail), write.data.eq(self.i_free.p.head)]
                m.d.sync += [tail.eq(self.i_free.p.tail), self.free_pages.eq(self.free_pages + self.i_free.p.count)]
                with m.If(~self.available):
                    m.d.sync += [self.next.eq(self.i_free.p.head), self.available.eq(1)]
        with m.If(self.commit):
            m.d.sync += taken.eq(0)
        return m
