"""Reference model of the scratchpad: which payloads are kept, what a read gives, how many pages are free."""
from collections import Counter

__all__ = ["Scratchpad"]


class Scratchpad:
    """pages of page_bytes; references are chosen by the RTL and told to the model."""

    def __init__(self, pages, page_bytes):
        self.pages, self.page_bytes = pages, page_bytes
        self.chains = {}
        self.count = Counter()

    def pages_of(self, length):
        return -(-length // self.page_bytes)

    @property
    def free_pages(self):
        return self.pages - sum(self.pages_of(len(octets)) for octets in self.chains.values())

    def verdict(self, octets, err):
        """"packets", "error" or "full" for a packet that arrives now."""
        needed, free = self.pages_of(len(octets)), self.free_pages
        return "full" if needed > free else "error" if err else "packets"

    def store(self, ref, octets):
        """Keep octets under ref; raises ValueError when a live chain would share a page with it."""
        if ref in self.chains or ref >= self.pages:
            raise ValueError(f"ref={ref}: live, or not below {self.pages}")
        self.chains[ref] = octets
        self.count["packets"] += 1

    def read(self, ref, skip, length):
        """Octets, or None for a refused read."""
        octets = self.chains.get(ref)
        if octets is None or not length or skip + length > len(octets):
            self.count["bad_read"] += 1
            return None
        return octets[skip:skip + length]

    def free(self, ref):
        if ref in self.chains:
            del self.chains[ref]
        else:
            self.count["bad_free"] += 1
