"""Free list of the scratchpad: no page is lost, none is given out twice, chains keep their links (patent §II).

The proof covers every schedule of STEPS clocks: four pages, a writer and a releaser that choose freely. A shadow of the
owner of each page follows the list. Each claim is also checked to fail on a mutated list.
"""
import inspect

import pytest
from amaranth.hdl import Array, Assert, Cover, Elaboratable, Module, Signal
from amaranth.lib import enum

from spps.scratchpad import page_list
from tests.formal.prover import rtlil_of, verdict

PAGES = 4
STEPS = 17          # 20 holds too, in minutes


class Owner(enum.Enum, shape=2):
    FREE = 0
    WRITER = 1      # taken, neither committed nor given back
    CHAIN = 2


class Contract(Elaboratable):
    """A list in any environment that keeps its rules: a page is taken when available, a live chain is freed once."""

    def __init__(self, pages):
        self.pages = pages
        self.take, self.end, self.keep, self.release = (Signal(name=n) for n in ("take", "end", "keep", "release"))
        self.victim, self.probe = Signal(range(PAGES)), Signal(range(PAGES))
        self.ports = [self.take, self.end, self.keep, self.release, self.victim, self.probe]

    def elaborate(self, platform):
        m = Module()
        m.submodules.pages = pages = self.pages
        owner = Array(Signal(Owner, name=f"owner_{n}") for n in range(PAGES))
        head = Array(Signal(range(PAGES), name=f"head_{n}") for n in range(PAGES))      # of the chain a page is in
        after = Array(Signal(range(PAGES), name=f"after_{n}") for n in range(PAGES))    # the page behind it
        final = Array(Signal(name=f"final_{n}") for n in range(PAGES))                  # the last of its chain
        first, last, count = Signal(range(PAGES)), Signal(range(PAGES)), Signal(range(PAGES + 1))
        tails = Array(Signal(range(PAGES), name=f"tail_{n}") for n in range(PAGES))
        counts = Array(Signal(range(PAGES + 1), name=f"count_{n}") for n in range(PAGES))
        swept = Signal()
        with m.If(pages.available):
            m.d.sync += swept.eq(1)

        # the writer: takes pages; keeps or gives back what it has
        m.d.comb += [
            pages.take.eq(self.take & pages.available & ~self.end),
            pages.commit.eq(self.end & self.keep & (count != 0)),
            pages.rollback.eq(self.end & ~self.keep & (count != 0)),
        ]
        with m.If(pages.take):
            m.d.comb += Assert(owner[pages.next] == Owner.FREE)
            m.d.sync += [owner[pages.next].eq(Owner.WRITER), last.eq(pages.next), count.eq(count + 1),
                         final[pages.next].eq(1)]
            with m.If(count == 0):
                m.d.sync += [first.eq(pages.next), head[pages.next].eq(pages.next)]
            with m.Else():
                m.d.sync += [head[pages.next].eq(first), after[last].eq(pages.next), final[last].eq(0)]
        with m.If(pages.commit | pages.rollback):
            m.d.sync += [count.eq(0), tails[first].eq(last), counts[first].eq(count)]
            for n in range(PAGES):
                with m.If(owner[n] == Owner.WRITER):
                    m.d.sync += owner[n].eq(pages.commit << 1)      # CHAIN or FREE

        # the releaser: any live chain, as its owner recorded it
        busy, chain = Signal(), Signal(range(PAGES))
        m.d.comb += [
            pages.i_free.valid.eq(busy), pages.i_free.p.head.eq(chain), pages.i_free.p.tail.eq(tails[chain]),
            pages.i_free.p.count.eq(counts[chain]),
        ]
        with m.If(~busy):
            with m.If(self.release & (owner[self.victim] == Owner.CHAIN) & (head[self.victim] == self.victim)):
                m.d.sync += [busy.eq(1), chain.eq(self.victim)]
        with m.Elif(pages.i_free.ready):
            m.d.sync += busy.eq(0)
            for n in range(PAGES):
                with m.If((owner[n] == Owner.CHAIN) & (head[n] == chain)):
                    m.d.sync += owner[n].eq(Owner.FREE)

        # no page is lost, and a free one is available soon
        free = Signal(range(PAGES + 1))
        waited = Signal(2)
        m.d.comb += free.eq(sum(o.as_value() == Owner.FREE.value for o in owner))
        with m.If(swept):
            m.d.comb += [Assert(pages.free_pages == free), Assert(~pages.available | (free != 0)), Assert(waited != 3)]
        with m.If((free != 0) & ~pages.available & swept & ~pages.rollback):
            m.d.sync += waited.eq(waited + 1)
        with m.Else():
            m.d.sync += waited.eq(0)

        # links inside a live chain
        asked, page = Signal(), Signal(range(PAGES))
        live = (owner[self.probe] == Owner.CHAIN) & ~final[self.probe]
        m.d.comb += pages.link_page.eq(self.probe)
        m.d.sync += [asked.eq(live), page.eq(self.probe)]
        with m.If(asked & (owner[page] == Owner.CHAIN) & ~final[page]):
            m.d.comb += Assert(pages.link_next == after[page])

        empty = Signal()                        # the list was empty once and every page came back
        with m.If(swept & (free == 0)):
            m.d.sync += empty.eq(1)
        m.d.comb += Cover(empty & (free == PAGES))
        return m


def prove(kind, tmp_path, mode):
    return verdict(rtlil_of(Contract(kind(PAGES))), tmp_path, mode, STEPS)


def mutated(old, new):
    """PageList with one piece of its source changed."""
    source = inspect.getsource(page_list)
    assert source.count(old) == 1, f"{old!r}: not once in the source"
    names = {"__name__": "mutated"}
    exec(compile(source.replace(old, new), "page_list_mutated.py", "exec"), names)
    return names["PageList"]


@pytest.mark.slow
def test_no_page_is_lost_or_given_out_twice(tmp_path):
    assert prove(page_list.PageList, tmp_path, "bmc") == "PASS"


@pytest.mark.slow
def test_every_page_comes_back_after_the_list_was_empty(tmp_path):
    assert prove(page_list.PageList, tmp_path, "cover") == "PASS"


@pytest.mark.slow
@pytest.mark.parametrize("old, new", (
    ("fetching.eq(self.free_pages != 1)", "fetching.eq(1)"),
    ("self.free_pages.eq(self.free_pages + taken)", "self.free_pages.eq(self.free_pages + 1)"),
    ("~self.take & ~fetching & ~self.rollback", "~self.take & ~self.rollback"),
    ("write.en.eq(1), write.addr.eq(tail)", "write.en.eq(self.available), write.addr.eq(tail)"),
))
def test_mutated_list_is_caught(tmp_path, old, new):
    assert prove(mutated(old, new), tmp_path, "bmc") == "FAIL"
