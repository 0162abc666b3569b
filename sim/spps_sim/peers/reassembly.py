"""Receive queue of a peer: in-order delivery from segments in any order."""

__all__ = ["ReassemblyQueue"]


class ReassemblyQueue:
    """Bytes of a stream by offset from 0. The first bytes of an offset count; others are noted in `conflicts`."""

    def __init__(self):
        self.stream = bytearray()       # delivered in order
        self._kept = {}                 # offset -> byte value, beyond the stream
        self._newest = 0                # offset of the last insertion
        self.conflicts = []             # (offset, kept, offered)
        self.duplicate_bytes = 0

    @property
    def next(self):
        """Offset after the bytes that have arrived in order."""
        return len(self.stream)

    def gaps(self):
        """Return whether bytes are kept beyond a gap."""
        return bool(self._kept)

    def blocks(self):
        """Return the (first, end) of each block beyond a gap, that of the newest segment first (RFC 2018 §4)."""
        out = []
        for offset in sorted(self._kept):
            if out and out[-1][1] == offset:
                out[-1][1] += 1
            else:
                out.append([offset, offset + 1])
        return sorted(out, key=lambda b: not b[0] <= self._newest < b[1])

    def add(self, offset, payload):
        """Insert bytes; return how many became deliverable."""
        before = self.next
        self._newest = offset
        for i, value in enumerate(payload[:max(0, before - offset)]):
            kept = self.stream[offset + i]
            self.duplicate_bytes += 1
            if kept != value:
                self.conflicts.append((offset + i, kept, value))
        if offset <= before and not self._kept:
            self.stream += payload[max(0, before - offset):]
            return self.next - before
        for i in range(max(0, before - offset), len(payload)):
            kept = self._kept.setdefault(offset + i, payload[i])
            if kept != payload[i]:
                self.conflicts.append((offset + i, kept, payload[i]))
        while self.next in self._kept:
            self.stream.append(self._kept.pop(self.next))
        return self.next - before
