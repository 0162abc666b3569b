"""What the monitor has seen of one TCP connection between a peer and the pair. Imports nothing from the RTL packages."""

__all__ = ["SeenStream", "SeenLeg"]


class SeenStream:
    """What one side of one leg has sent: the stream by offset from its SYN (offset 1 is the first byte)."""

    def __init__(self, isn):
        self.isn = isn
        self.bytes = bytearray()
        self.known = bytearray()        # 1 where bytes holds something
        self.fin = None                 # offset of the FIN
        self.acked = 0                  # offset after the highest acknowledged number (by the other side)
        self.sent = 1                   # offset after the highest number sent

    def offset(self, seq):
        """Signed distance from the ISN, unwrapped near what has been sent."""
        distance = (seq - self.isn - self.sent) & 0xFFFFFFFF
        return self.sent + (distance - (1 << 32) if distance & 0x80000000 else distance)

    def put(self, offset, payload):
        """Remember payload; the first conflicting offset, or None."""
        start, conflict = offset - 1, None
        if start < 0:
            payload, start = payload[-start:], 0
        end = start + len(payload)
        if end > len(self.bytes):
            grow = end - len(self.bytes)
            self.bytes += bytes(grow)
            self.known += bytes(grow)
        if any(self.known[start:end]):
            for i, value in enumerate(payload, start):
                if self.known[i] and self.bytes[i] != value:
                    conflict = i + 1
                    break
        self.bytes[start:end] = payload
        self.known[start:end] = b"\1" * len(payload)
        return conflict


class SeenLeg:
    """One TCP connection between a peer and the pair. key = (link, peer, pair)."""

    def __init__(self, key, syns, other=None):
        self.key = key
        self.peer = self.ours = None    # SeenStream
        self.syns = syns                # ISN -> SYN of the peer, those of older connections too: ours says which of them counts
        self.other = other              # the leg it is proxied to
        self.scale = 0                  # shift of our advertised windows
        self.syn_options = None
        self.peer_scale = self.our_scale = None
        self.edge = self.ack = None
        self.limit = None               # right edge, that of our SYN included
        self.tsval = None
        self.stamped = {"peer": False, "ours": False}   # the SYN had a timestamp
        self.reset = False
        self.confirmed = 0              # confirmed commitment (offset) of what *we* sent on this leg
        self.records = False
        self.protected = False          # a record of it was confirmed

    def restart(self):
        """The connection of another SYN, in the same place: what was seen belonged to an older one."""
        self.__init__(self.key, self.syns, self.other)

    def is_protected(self):
        return self.protected or self.other is not None and self.other.protected

    def name(self):
        return f"{self.key[0]} leg {self.key[1][0]:#x}:{self.key[1][1]} - {self.key[2][0]:#x}:{self.key[2][1]}"
