"""Reference model of the socket memory controller: one bytearray per ring, messages one after the other.

Source: patent §IV, §X.A.
"""
from collections import Counter

from spps.layouts.message import MessageKind

__all__ = ["SocketModel"]


class SocketModel:
    """Executes messages at once; what the RTL does must be explained by this order.

    connections, ring_bytes: sizes. scratch: function (ref, skip, length) -> (bytes, err), the scratchpad's answer.
    """

    def __init__(self, connections, ring_bytes, scratch):
        self.connections, self.ring_bytes, self.scratch = connections, ring_bytes, scratch
        self.rings = {}
        self.freed = []         # references in order
        self.passed = []        # messages in order
        self.count = Counter()

    def ring(self, conn, direction):
        return self.rings.setdefault((conn, direction), bytearray(self.ring_bytes))

    def execute(self, message):
        """message: list of 64-bit beats, the first a header."""
        kind, argument = message[0] & 0xFF, message[0] >> 32
        if kind == MessageKind.OUTPUT.value or kind == MessageKind.SYNC.value:
            self.count["outputs" if kind == MessageKind.OUTPUT.value else "syncs"] += 1
            self.passed.append(message)
        elif kind == MessageKind.RELEASE.value:
            self.count["releases" if len(message) == 1 else "malformed"] += 1
            self.freed.append(argument & 0xFFFF)
        elif kind == MessageKind.COPY.value:
            self._copy(message)
        else:
            self.count["bad_kind"] += 1

    def _copy(self, message):
        if len(message) > 1:
            self.freed.append(message[1] & 0xFFFF)
        if len(message) != 3:
            self.count["malformed"] += 1
            return
        ref, skip, length = (message[1] >> lsb & 0xFFFF for lsb in (0, 16, 32))
        offset, conn, direction = message[2] & 0xFFFFFFFF, message[2] >> 32 & 0xFFFF, message[2] >> 48 & 1
        if conn >= self.connections:
            self.count["bad_conn"] += 1
        elif length > self.ring_bytes:
            self.count["bad_length"] += 1
        elif not length:
            self.count["copies"] += 1
        else:
            data, err = self.scratch(ref, skip, length)
            self.write(conn, direction, offset, data[:length])
            self.count["scratch_error" if err or len(data) != length else "copies"] += 1

    def write(self, conn, direction, offset, data):
        ring = self.ring(conn, direction)
        for i, byte in enumerate(data):
            ring[(offset + i) % self.ring_bytes] = byte

    def read(self, conn, direction, offset, length):
        """The answer to a SocketRead, None for a refused one."""
        if conn >= self.connections or not 0 < length <= self.ring_bytes:
            self.count["bad_reads"] += 1
            return None
        self.count["reads"] += 1
        ring = self.ring(conn, direction)
        return bytes(ring[(offset + i) % self.ring_bytes] for i in range(length))
