"""Reference model of the socket memory controller: pages as byte arrays, messages one after the other.

Source: patent §IV, §X.A.
"""
from collections import Counter

from spps.layouts.message import MessageKind

__all__ = ["SocketModel", "PagedMemory", "SND_UNA"]

SPAN = 1 << 32
SND_UNA = 2, 4      # words of line 0 of a record: SND.UNA of both legs


class PagedMemory:
    """Rings of pages; a page is freed when all of it is below the released number of its ring.

    A ring is any hashable; offsets count modulo 2^32. Of two pages of a ring whose numbers are equal modulo the reach
    only one can be there: hdl/spps/socket/README.md, "Pages", requires it.

    Parameters
    ----------
    page_bytes, pool_pages : tuple of int
        Bytes of a page and number of pages, per pool.
    reach : int
        Bytes; the reach in pages is this number divided by the smallest page in use.
    """

    def __init__(self, page_bytes, pool_pages, reach):
        self.page_bytes, self.free = page_bytes, list(pool_pages)
        self.reach = reach // min(size for size, count in zip(page_bytes, pool_pages) if count)
        self.pages = {}         # (ring, page number) -> bytearray
        self.pools = {}         # ring -> pool
        self.released = {}      # ring -> number

    def of(self, ring):
        """Numbers of the pages that a ring has."""
        return [number for owner, number in self.pages if owner == ring]

    def _below(self, ring, number, offset, size):
        """Tell whether page `number` of `size` bytes lies wholly below `offset`."""
        first = offset // size
        return (number - first) % (SPAN // size) >= SPAN // size // 2

    def map(self, ring, pool, offset):
        """Make sure that the page of a byte is there; return None, or the counter that says why it is not."""
        size = self.page_bytes[pool]
        number, live = offset // size, self.of(ring)
        if live and self.pools[ring] == pool and number in live:
            return None
        if any((other - number) % self.reach == 0 for other in live):
            return "bad_page"
        if live and self.pools[ring] != pool:
            return "bad_page"
        if ring in self.released and self._below(ring, number, self.released[ring], size):
            return "bad_page"
        if not self.free[pool]:
            return "no_page"
        self.free[pool] -= 1
        self.pools[ring] = pool
        self.pages[ring, number] = bytearray(size)
        return None

    def write(self, ring, pool, offset, data):
        """Write bytes up to the first page that cannot be had; return None, or the counter that says why."""
        size = self.page_bytes[pool]
        while data:
            problem = self.map(ring, pool, offset)
            if problem:
                return problem
            part, data = data[:size - offset % size], data[size - offset % size:]
            self.pages[ring, offset // size][offset % size:offset % size + len(part)] = part
            offset = (offset + len(part)) % SPAN
        return None

    def read(self, ring, pool, offset, length):
        """Return `length` bytes, or None when one of their pages is not there."""
        size, out = self.page_bytes[pool], b""
        while length:
            page = self.pages.get((ring, offset // size)) if self.pools.get(ring) == pool else None
            if page is None:
                return None
            part = min(length, size - offset % size)
            out += page[offset % size:offset % size + part]
            offset, length = (offset + part) % SPAN, length - part
        return bytes(out)

    def release(self, ring, offset):
        """Free the pages of a ring that lie wholly below `offset`."""
        live = self.of(ring)
        old = self.released.get(ring)
        if live and old is not None:
            size = self.page_bytes[self.pools[ring]]
            if self._below(ring, offset // size, old, size):
                return          # numbers do not go back
        self.released[ring] = offset
        for number in live:
            if self._below(ring, number, offset, self.page_bytes[self.pools[ring]]):
                self._free(ring, number)

    def drop(self, ring):
        """Free all pages of a ring."""
        for number in self.of(ring):
            self._free(ring, number)
        self.released.pop(ring, None)

    def _free(self, ring, number):
        del self.pages[ring, number]
        self.free[self.pools[ring]] += 1


class SocketModel:
    """Executes each message at once; what the RTL does must be explained by this order.

    Parameters
    ----------
    connections, ring_bytes : int
        Connections; longest copy or read in bytes.
    memory : PagedMemory
        The pages.
    scratch : function (ref, skip, length) -> (bytes, bool)
        The scratchpad's answer, and whether it ends in `err`.
    """

    def __init__(self, connections, ring_bytes, memory, scratch):
        self.connections, self.ring_bytes, self.memory, self.scratch = connections, ring_bytes, memory, scratch
        self.active = True
        self.freed = []         # references in order
        self.passed = []        # messages in order
        self.count = Counter()

    def execute(self, message):
        """Execute a message, a list of 64-bit beats; raises ValueError for a kind that never comes."""
        kind, argument = message[0] & 0xFF, message[0] >> 32
        if kind == MessageKind.OUTPUT.value:
            self.count["outputs"] += 1
            self.passed.append(message)
        elif kind == MessageKind.SYNC.value:
            self.count["syncs"] += 1
            self.passed.append(message)
            self._record(message)
        elif kind == MessageKind.CONSUMED.value:
            self.count[self._record(message) or "consumed"] += 1
        elif kind == MessageKind.RELEASE.value:
            self.count["malformed" if len(message) > 1 else "refused" if argument >> 16 & 1 else "releases"] += 1
            self.freed.append(argument & 0xFFFF)
        elif kind == MessageKind.COPY.value:
            self._copy(message)
        else:
            raise ValueError(f"kind {kind}: the message router lets only COPY, RELEASE, CONSUMED, OUTPUT and SYNC pass")

    def _record(self, message):
        """Release what a record says; return None, or the counter that says why nothing was."""
        conn, kind = message[0] >> 32 & 0xFFFF, message[0] >> 48 & 3
        if conn >= self.connections:
            return "bad_conn"
        if kind == 2:
            self.memory.drop((conn, 0))
            self.memory.drop((conn, 1))
        elif len(message) <= 1 + max(SND_UNA) // 2:
            return "malformed"
        else:
            for direction in (0, 1):        # what leg 0 received is sent on leg 1
                word = SND_UNA[1 - direction]
                self.memory.release((conn, direction), message[1 + word // 2] >> 32 * (word % 2) & 0xFFFFFFFF)
        return None

    def _copy(self, message):
        if len(message) > 1 and not message[0] >> 32 & 1:      # unless it is kept for another COPY
            self.freed.append(message[1] & 0xFFFF)
        if len(message) != 3:
            self.count["malformed"] += 1
            return
        ref, skip, length = (message[1] >> lsb & 0xFFFF for lsb in (0, 16, 32))
        offset, conn = message[2] & 0xFFFFFFFF, message[2] >> 32 & 0xFFFF
        direction, pool = message[2] >> 48 & 1, message[2] >> 49 & 3
        if conn >= self.connections:
            self.count["bad_conn"] += 1
        elif length > self.ring_bytes:
            self.count["bad_length"] += 1
        elif not length:
            self.count["copies"] += 1
        elif not self.active:
            self.count["inactive"] += 1
        else:
            data, err = self.scratch(ref, skip, length)
            problem = self.memory.write((conn, direction), pool, offset, data[:length].ljust(length, b"\0"))
            if err or len(data) != length:
                problem = "scratch_error"
            self.count[problem or "copies"] += 1
            if problem:
                self.memory.drop((conn, direction))

    def read(self, conn, direction, pool, offset, length):
        """Return the answer to a SocketRead, None for one that ends in `err`."""
        if conn >= self.connections or not 0 < length <= self.ring_bytes:
            self.count["bad_reads"] += 1
            return None
        data = self.memory.read((conn, direction), pool, offset, length)
        self.count["reads" if data is not None else "stale_reads"] += 1
        return data
