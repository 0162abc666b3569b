"""Where pages are: pools in physical memory, virtual pages in the page table.

Source: patent §X.A (SMC 758: page sizes).
"""
from amaranth.hdl import Array, Const
from amaranth.lib import data
from amaranth.utils import exact_log2

__all__ = ["Geometry"]


class Geometry:
    """Sizes and places that all parts of the socket memory share, derived from SppsParams.

    Physical memory is counted in granules, the smallest page in use, and in rows, words of the datapath. Pools lie one
    behind the other, largest pages first, so that every page is aligned to its size and a physical row is granule and
    row in the page put together. A byte of a ring is in virtual page offset // page size. The page table has room for
    two rings of bytes, so that the first and the last page of a window never have the same entry, also when the window
    begins in the middle of a page.

    Attributes
    ----------
    sizes, counts : tuple of int
        Bytes of a page and number of pages, per pool.
    pools, rings : int
        Pools; rings, two per connection.
    granule, granules : int
        Bytes of the smallest page in use; granules of all pools.
    order, step : list of int
        Pools with pages as they lie in memory; granules per page of each pool.
    lanes, lane_bits : int
        Bytes of a row, and the bits that count them.
    rows, max_rows : int
        Rows of all pools; of the largest page.
    entry_bits, tag_bits, page_bits : int
        Bits of a virtual page number of the smallest page (page_bits): entry of the table (low) and tag (high).
    reserve : list of int
        Pages of each pool that copies under way may still take, see SppsParams.reserve_pages.
    """

    def __init__(self, params):
        self.sizes, self.counts = params.page_bytes, params.pool_pages
        self.pools = len(self.sizes)
        used = [p for p in range(self.pools) if self.counts[p]]
        self.granule = min(self.sizes[p] for p in used)
        self.lanes = params.data_bytes
        self.lane_bits = exact_log2(params.data_bytes)
        self.granule_rows_bits = exact_log2(self.granule) - self.lane_bits
        self.shifts = [exact_log2(size) for size in self.sizes]
        self.order = sorted(used, key=lambda p: -self.sizes[p])     # as they lie in memory
        self.step = [size // self.granule for size in self.sizes]   # granules per page
        self.total_pages = sum(self.counts)
        self.granules = sum(self.counts[p] * self.step[p] for p in used)
        self.rows = self.granules * self.granule // params.data_bytes
        self.max_rows = max(self.sizes[p] for p in used) // params.data_bytes
        self.rings = 2 * params.connections
        self.entry_bits = exact_log2(2 * params.socket_bytes // self.granule)
        self.page_bits = 32 - exact_log2(self.granule)              # of a virtual page number
        self.tag_bits = self.page_bits - self.entry_bits
        self.reserve = [params.reserve_pages(size) for size in self.sizes]

    def first_page(self, pool):
        """Position of the pool's first page among all pages, in memory order."""
        before = self.order[:self.order.index(pool)] if pool in self.order else ()
        return sum(self.counts[p] for p in before)

    def _of_pool(self, values, pool):
        """values[pool]; no choice when only one pool has pages."""
        return Array(values)[pool] if len(self.order) > 1 else values[self.order[0]]

    def virtual_page(self, offset, pool):
        """Virtual page number of a byte offset (both values); it counts modulo 2^(32 - log2 of the page size)."""
        return self._of_pool([offset[shift:32] for shift in self.shifts], pool)

    def ahead(self, difference, pool):
        """Difference of two virtual page numbers as a number of pages, and whether it is negative."""
        return (self._of_pool([difference[:32 - shift] for shift in self.shifts], pool),
                self._of_pool([difference[31 - shift] for shift in self.shifts], pool))

    def row_in_page(self, offset, pool):
        """Rows of the page before the one the byte is in."""
        return self._of_pool([offset[self.lane_bits:shift] if shift > self.lane_bits else Const(0)
                              for shift in self.shifts], pool)

    def page_rows(self, pool):
        """Rows of a page."""
        return self._of_pool([Const(1 << shift - self.lane_bits) for shift in self.shifts], pool)

    def row(self, granule, row):
        """Physical row of a page's granule and a row in the page."""
        return granule << self.granule_rows_bits | row

    def entry_layout(self):
        """Layout of an entry of the page table."""
        return data.StructLayout({"valid": 1, "pool": range(self.pools), "tag": self.tag_bits,
                                  "granule": range(self.granules)})

    def state_layout(self):
        """Layout of a ring's state: its pages, their pool; with `known` the number below which all are freed."""
        return data.StructLayout({"used": range((1 << self.entry_bits) + 1), "pool": range(self.pools), "known": 1,
                                  "released": 32})

    def burst_layout(self):
        """Consecutive rows of one page."""
        return data.StructLayout({"row": range(self.rows), "rows": range(self.max_rows + 1)})
