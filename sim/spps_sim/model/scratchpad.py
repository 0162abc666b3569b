"""Reference model of the scratchpad: which payloads are kept, what a read gives, how many pages are free."""
from collections import Counter

__all__ = ["Scratchpad"]


class Scratchpad:
    """`pages` pages of `page_bytes` bytes. The RTL chooses references and tells them to the model.

    chains: reference -> bytes of each live payload. count: as the COUNTERS of the block.
    """

    def __init__(self, pages, page_bytes):
        self.pages, self.page_bytes = pages, page_bytes
        self.chains = {}
        self.count = Counter()

    def pages_of(self, length):
        """Pages that `length` bytes need."""
        return -(-length // self.page_bytes)

    @property
    def free_pages(self):
        """Pages that no live payload uses."""
        return self.pages - sum(self.pages_of(len(octets)) for octets in self.chains.values())

    def verdict(self, octets, err):
        """Return the counter of a packet that arrives now: "packets", "error" or "full"."""
        needed, free = self.pages_of(len(octets)), self.free_pages
        return "full" if needed > free else "error" if err else "packets"

    def store(self, ref, octets):
        """Keep `octets` under `ref`.

        Raises ValueError when `ref` is live, no page, or when there are fewer free pages than `octets` needs. A page
        shared by two chains shows when their bytes are read.
        """
        if ref in self.chains or ref >= self.pages:
            raise ValueError(f"ref={ref}: live, or not below {self.pages}")
        if self.pages_of(len(octets)) > self.free_pages:
            raise ValueError(f"{len(octets)} bytes: {self.free_pages} pages are free")
        self.chains[ref] = octets
        self.count["packets"] += 1

    def read(self, ref, skip, length):
        """Return the bytes [skip, skip + length) of a payload, or None for a refused read."""
        octets = self.chains.get(ref)
        if octets is None or not length or skip + length > len(octets):
            self.count["bad_read"] += 1
            return None
        return octets[skip:skip + length]

    def free(self, ref):
        """Give a payload back; a reference that is not live is counted."""
        if ref in self.chains:
            del self.chains[ref]
        else:
            self.count["bad_free"] += 1
