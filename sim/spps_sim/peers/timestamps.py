"""Timestamps of a Python peer (RFC 7323 §3 to §5)."""
from ..checker.wire import before

__all__ = ["Timestamps"]

MASK = 0xFFFFFFFF
OUTDATED = 24 * 24 * 3600 * 1000        # ticks (§5.5)


class Timestamps:
    """Clock, TS.Recent and PAWS of one connection.

    `on` is set once timestamps are offered or negotiated. `round_trip` is the time that the echo in the last segment
    stands for, in cycles, or None.

    Parameters
    ----------
    config : TcpConfig
        Has the period and the first value of the clock.
    now : callable
        Returns the time in cycles.
    """

    def __init__(self, config, now):
        self.config, self._now = config, now
        self.on = False
        self.recent, self.since = 0, 0  # TS.Recent, and when it came
        self.last_ack = None            # Last.ACK.sent
        self.round_trip = None
        self.longest = 0                # of all round trips

    def clock(self):
        """Return TSval of this moment."""
        return (self.config.stamp_base + self._now() // self.config.stamp_cycles) & MASK

    @staticmethod
    def fields(segment):
        """Return (TSval, TSecr) of a segment, or None."""
        raw = segment.options.get(8, b"")
        return (int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big")) if len(raw) == 8 else None

    def sent(self, ack):
        """Return (TSval, TSecr) of a segment that acknowledges `ack`; None: without ACK."""
        if ack is None:
            return self.clock(), 0
        self.last_ack = ack
        return self.clock(), self.recent

    def negotiated(self, segment):
        """Take the SYN of the peer."""
        found = self.fields(segment)
        self.on = self.config.timestamps and found is not None
        if self.on and found is not None:
            self.recent, self.since = found[0], self._now()
            self._measure(found)

    def judge(self, segment):
        """Return None if the segment may be processed, "paws" if it is answered with an ACK only, or "unstamped"."""
        found = self.fields(segment)
        if found is None:
            return "unstamped"
        outdated = self._now() - self.since > OUTDATED * self.config.stamp_cycles
        return "paws" if before(found[0], self.recent) and not outdated else None

    def taken(self, segment):
        """Take an acceptable segment (RFC 7323 §4.3)."""
        found = self.fields(segment)
        if found is None:
            self.round_trip = None
            return
        if self.last_ack is None or not before(self.last_ack, segment.seq):
            self.recent, self.since = found[0], self._now()
        self._measure(found)

    def _measure(self, found):
        ticks = (self.clock() - found[1]) & MASK
        self.round_trip = ticks * self.config.stamp_cycles if found[1] and ticks < 1 << 24 else None
        self.longest = max(self.longest, self.round_trip or 0)
