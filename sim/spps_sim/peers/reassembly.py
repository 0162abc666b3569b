"""Receive queue of a peer: in-order delivery from segments in any order."""

__all__ = ["ReassemblyQueue"]


class ReassemblyQueue:
    """Stream offsets from 0. Bytes received first win; an overlap with other bytes is recorded in `conflicts`."""

    def __init__(self):
        self.stream = bytearray()       # delivered in order
        self._kept = {}                 # offset -> byte value, beyond the stream
        self.conflicts = []             # (offset, kept, offered)
        self.duplicate_bytes = 0

    @property
    def next(self):
        return len(self.stream)

    def gaps(self):
        return bool(self._kept)

    def add(self, offset, payload):
        """Insert bytes; returns how many became deliverable."""
        before = self.next
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
