"""Pages of socket memory: none is lost, none is in two places, what must be free is free (patent §X.A).

The proof covers every schedule of requests of STEPS clocks: two rings, a table of two entries per ring, two pools with
pages of one and of two granules. A shadow of which ring owns which page follows the directory. Each claim is also
checked to fail on a mutated directory.
"""
import inspect

import pytest
from amaranth.hdl import Array, Assert, Assume, Cover, Elaboratable, Module, Signal
from amaranth.utils import exact_log2

from spps.socket import geometry, page_directory, page_pools
from tests.formal.prover import rtlil_of, verdict

STEPS = 17


class SmallGeometry(geometry.Geometry):
    """Sizes that a solver can exhaust: offsets still have 32 bits, but only the upper ones differ."""

    def __init__(self):
        self.sizes, self.counts, self.pools = (1 << 28, 1 << 29), (2, 1), 2
        self.granule, self.lanes, self.lane_bits = 1 << 28, 4, 2
        self.shifts = [exact_log2(size) for size in self.sizes]
        self.order, self.step, self.total_pages, self.granules = [1, 0], [1, 2], 3, 4
        self.rings, self.entry_bits = 2, 1
        self.page_bits, self.tag_bits = 4, 3


class Contract(Elaboratable):
    """A directory in an environment that asks anything."""

    def __init__(self, names):
        self.names, self.directory = names, names["PageDirectory"](SmallGeometry())
        self.g = self.directory.geometry
        self.valid, self.op, self.ring, self.pool = Signal(), Signal(2), Signal(), Signal()
        self.page, self.probe_page, self.probe_ring, self.probe_pool = Signal(4), Signal(4), Signal(), Signal()
        self.ports = [self.valid, self.op, self.ring, self.pool, self.page,
                      self.probe_page, self.probe_ring, self.probe_pool]

    def elaborate(self, platform):
        m = Module()
        g, op, verdict = self.g, self.names["PageOp"], self.names["PageVerdict"]
        m.submodules.directory = dut = self.directory
        request = Signal.like(dut.i.payload)
        m.d.comb += [
            Assume(self.op != 3), dut.i.valid.eq(self.valid), dut.i.p.op.eq(self.op), dut.i.p.ring.eq(self.ring),
            dut.i.p.pool.eq(self.pool), dut.i.p.offset.eq(self.page << 28),
            dut.l_ring.eq(self.probe_ring), dut.l_pool.eq(self.probe_pool), dut.l_offset.eq(self.probe_page << 28),
        ]
        firsts = {0: 1, 2: 0, 3: 0}                         # first granule of a page -> its pool; larger pages first
        owned = {granule: Signal(name=f"owned_{granule}") for granule in firsts}
        ring = {granule: Signal(name=f"ring_{granule}") for granule in firsts}
        page = {granule: Signal(4, name=f"page_{granule}") for granule in firsts}   # virtual page number
        busy = Signal()
        with m.If(dut.i.valid & dut.i.ready):
            m.d.sync += [request.eq(dut.i.payload), busy.eq(1)]
        asked_ring = request.ring
        virtual = g.virtual_page(request.offset, request.pool)

        # an answer names a page of the pool; one that is owned is this ring's, and a ring has a virtual page once
        with m.If(dut.answer & (dut.verdict == verdict.OK)):
            m.d.comb += Assert(dut.granule != 1)
            for granule, pool in firsts.items():
                with m.If(dut.granule == granule):
                    m.d.comb += Assert(request.pool == pool)
                    with m.If(owned[granule]):
                        m.d.comb += [Assert(ring[granule] == request.ring), Assert(page[granule] == virtual)]
                    m.d.sync += [owned[granule].eq(1), ring[granule].eq(request.ring), page[granule].eq(virtual)]
                with m.Else():
                    m.d.comb += Assert(~(owned[granule] & (ring[granule] == request.ring) & (page[granule] == virtual)))
        with m.If(dut.answer & (dut.verdict == verdict.NO_PAGE)):
            m.d.comb += [Assert(owned[granule] | (request.pool != pool)) for granule, pool in firsts.items()]

        # what becomes free is owned, and was released or dropped
        gone = {granule: owned[granule] & (ring[granule] == dut.freed_ring) & (page[granule] == dut.freed_page)
                for granule in firsts}
        below = {}                                          # the request's number is beyond the whole page
        for granule, pool in firsts.items():
            distance = Signal(g.page_bits, name=f"distance_{granule}")
            m.d.comb += distance.eq(page[granule] - g.virtual_page(request.offset, pool))
            below[granule] = g.ahead(distance, pool)[1]
        with m.If(dut.freed):
            m.d.comb += [Assert(sum(gone.values()) == 1), Assert(request.op != op.MAP)]
            for granule in firsts:
                with m.If(gone[granule]):
                    m.d.comb += Assert(below[granule] | (request.op == op.DROP))
                    m.d.sync += owned[granule].eq(0)

        # between requests the books agree, and all is gone that was dropped or is below a number that has not gone back
        released = Array(Signal(32, name=f"released_{n}") for n in range(2))
        known = Array(Signal(name=f"known_{n}") for n in range(2))
        idle = Signal()
        m.d.comb += idle.eq(dut.i.ready)
        with m.If(dut.sweeping):
            m.d.sync += [busy.eq(0), *(o.eq(0) for o in owned.values()), *(k.eq(0) for k in known)]
        with m.Elif(idle):
            for pool in range(g.pools):
                taken = sum(o for granule, o in owned.items() if firsts[granule] == pool)
                m.d.comb += Assert(dut.free[pool] + taken == g.counts[pool])
            with m.If(busy & ~(dut.i.valid & dut.i.ready)):
                m.d.sync += busy.eq(0)
            with m.If(busy):
                backwards = Signal()                        # for the pages the ring still has
                for granule, pool in firsts.items():
                    mine = owned[granule] & (ring[granule] == asked_ring)
                    step = Signal(g.page_bits, name=f"step_{granule}")
                    last = g.virtual_page(released[asked_ring], pool)
                    m.d.comb += step.eq(g.virtual_page(request.offset, pool) - last)
                    back = known[asked_ring] & g.ahead(step, pool)[1]
                    with m.If(mine & back):
                        m.d.comb += backwards.eq(1)
                    with m.If(request.op == op.DROP):
                        m.d.comb += Assert(~mine)
                    with m.If((request.op == op.RELEASE) & ~back):
                        m.d.comb += Assert(~(mine & below[granule]))
                with m.If((request.op == op.RELEASE) & ~backwards):
                    m.d.sync += [known[asked_ring].eq(1), released[asked_ring].eq(request.offset)]
                with m.If(request.op == op.DROP):
                    m.d.sync += known[asked_ring].eq(0)

        # a look-up finds a page exactly when the ring has it
        probed, probe = Signal(), Signal.like(request)
        m.d.sync += [probed.eq(idle & ~dut.i.valid), probe.ring.eq(self.probe_ring), probe.pool.eq(self.probe_pool),
                     probe.offset.eq(dut.l_offset)]
        with m.If(probed):
            has = [owned[granule] & (ring[granule] == probe.ring) & (probe.pool == pool)
                   & (page[granule] == g.virtual_page(probe.offset, pool)) for granule, pool in firsts.items()]
            m.d.comb += Assert(dut.l_hit == (sum(has) != 0))

        emptied = Signal()
        with m.If(idle & owned[0]):
            m.d.sync += emptied.eq(1)
        m.d.comb += Cover(emptied & idle & (dut.free[1] == 1))
        return m


def names_of(changes):
    """The names of page_pools and page_directory, with pieces of their source changed."""
    names = {"__name__": "mutated"}
    sources = [inspect.getsource(module).replace("from .page_pools import PagePools\n", "")
               for module in (page_pools, page_directory)]
    for old, new in changes:
        assert sum(source.count(old) for source in sources) == 1, f"{old!r}: not once in the source"
        sources = [source.replace(old, new) for source in sources]
    for source in sources:
        exec(compile(source, "pages_mutated.py", "exec"), names)
    return names


def prove(changes, tmp_path, mode):
    return verdict(rtlil_of(Contract(names_of(changes))), tmp_path, mode, STEPS)


@pytest.mark.slow
def test_no_page_is_lost_freed_twice_or_given_to_two(tmp_path):
    assert prove((), tmp_path, "bmc") == "PASS"


@pytest.mark.slow
def test_a_pool_is_full_again_after_it_was_empty(tmp_path):
    assert prove((), tmp_path, "cover") == "PASS"


@pytest.mark.slow
@pytest.mark.parametrize("old, new", (
    ("(left == 0) | (used == 0)", "(left == 0) | (used == 1)"),                             # stops before the last page
    ("m.d.comb += [pools.give.eq(1), write.en.eq(1)]", "m.d.comb += [pools.give.eq(1)]"),   # stays in the table
    ("(pools.free[request.pool] == 0)", "(pools.free[0] == 0)"),
    ("(entry.tag == page[g.entry_bits:]) & (entry.pool", "(entry.pool"),
    ("| state.known & below)", ")"),                                                         # nobody would ever free it
))
def test_mutated_directory_is_caught(tmp_path, old, new):
    assert prove(((old, new),), tmp_path, "bmc") == "FAIL"
