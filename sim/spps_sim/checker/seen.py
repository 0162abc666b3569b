"""What the monitor has seen of a TCP connection between a peer and the pair. Imports nothing from the RTL packages."""

from .reign import Reign

__all__ = ["SeenStream", "SeenLeg"]


class SeenStream:
    """The stream that one side of a leg has sent, by offset from its SYN; offset 1 is the first byte."""

    def __init__(self, isn):
        self.isn = isn
        self.bytes = bytearray()
        self.known = bytearray()        # 1 where bytes holds something
        self.fin: int | None = None     # offset of the FIN
        self.acked = 0                  # offset after the highest acknowledged number (by the other side)
        self.sent = 1                   # offset after the highest number sent

    def offset(self, seq):
        """Return the signed distance from the ISN, unwrapped near what has been sent."""
        distance = (seq - self.isn - self.sent) & 0xFFFFFFFF
        return self.sent + (distance - (1 << 32) if distance & 0x80000000 else distance)

    def has(self, left, right):
        """Return whether all that has the offsets `left` to `right` was sent, bytes and the FIN."""
        right -= self.fin is not None and right == self.fin + 1
        return right - 1 <= len(self.known) and all(self.known[left - 1:right - 1])

    def put(self, offset, payload):
        """Remember `payload`; return the first offset where other bytes were known, or None."""
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
    """One TCP connection between a peer and the pair, on one link.

    Parameters
    ----------
    key : tuple
        (link, address and port of the peer, address and port of the pair).
    syns : dict
        SYNs of the peer by ISN, those of older connections too: the pair's SYN-ACK says which of them counts.
    other : SeenLeg, optional
        The leg that it is proxied to.
    """

    def __init__(self, key, syns, other=None):
        self.key = key
        self.peer: SeenStream | None = None
        self.ours: SeenStream | None = None
        self.syns = syns
        self.other = other
        self.guess = None               # by the order of SYNs, while no record says which it is
        self.syn_options = None
        self.peer_scale = self.our_scale = None
        self.edge: int | None = None
        self.ack: int | None = None
        self.limit = None               # right edge, that of our SYN included
        self.again = 0                  # offset after what the peer has sent more than once
        self.paused_at = None           # acknowledged offset at which the peer may be told a closed window
        self.shut = self.reopened = False       # the peer's window is 0; it has opened, and we may not know
        self.tsval = None
        self.stamped = {"peer": False, "ours": False}   # the SYN had a timestamp
        self.reset = False
        self.known = False              # a record of it was confirmed, and no takeover has lost it since
        self.born: Reign | None = None  # the one in which it began, if the pair depended on its standby then

    def restart(self):
        """Forget everything but the SYNs: what was seen belonged to an older connection of the same addresses."""
        self.__init__(self.key, self.syns, self.other)

    def partner(self):
        """Return the other leg of the connection, as far as it is known."""
        return self.guess if self.other is None or self.other.other is not self else self.other

    def is_known(self):
        """Return whether a record of this connection was confirmed, and no takeover has lost it since."""
        return self.known or self.other is not None and self.other.known

    def begin(self, syn):
        """Note the SYN of the peer with which the connection begins."""
        self.peer = SeenStream(syn.seq)
        self.peer_scale = syn.options.get(3)
        self.stamped["peer"] = 8 in syn.options

    def told_window(self, window, more):
        """Note the window that the peer tells: whether it takes anything. more: it acknowledges more with it.

        The pair may not have heard of a window that opens; it has when it sends more than a probe, or when the peer
        has acknowledged more.
        """
        if window == 0:
            self.shut, self.reopened = True, False
        elif self.shut:
            self.reopened = True
            self.shut = not more

    def may_pause(self, offset):
        """Return whether the peer, acknowledged up to `offset`, may be told a closed window."""
        destination = self.partner()
        return destination is not None and destination.shut and self.again > offset

    def finished(self):
        """Return whether the pair's FIN is acknowledged and the peer's sent: the pair need not send any more."""
        ours, peer = self.ours, self.peer
        return (ours is not None and ours.fin is not None and ours.acked > ours.fin
                and peer is not None and peer.fin is not None)

    def over(self):
        """Return whether all FINs of both legs are acknowledged: no record and no ACK is still under way."""
        return all(one.finished() and one.has_told_fin() for one in filter(None, (self, self.other)) if not one.reset)

    def has_told_fin(self):
        """Return whether the pair has acknowledged the peer's FIN."""
        peer = self.peer
        return peer is not None and peer.fin is not None and (self.ack or 0) > peer.fin

    def lives(self):
        """Return whether the active is sure to know the connection, which is not yet over."""
        begun = self.peer is not None and self.ours is not None
        return begun and self.is_known() and not self.reset and not self.over()

    def name(self):
        """Return link and addresses as text."""
        return f"{self.key[0]} leg {self.key[1][0]:#x}:{self.key[1][1]} - {self.key[2][0]:#x}:{self.key[2][1]}"
