"""Timestamps of a Python peer (RFC 7323 §3 to §5)."""
from ..checker.wire import before

__all__ = ["Timestamps"]

MASK = 0xFFFFFFFF
OUTDATED = 24 * 24 * 3600 * 1000        # ticks (§5.5)


class Timestamps:
    """Clock, TS.Recent and PAWS of one connection. config: TcpConfig; now(): cycles.

    `on` once negotiated (or offered). `round_trip`: cycles that the echo in the last segment taken stands for, or None.
    """

    def __init__(self, config, now):
        self.config, self._now = config, now
        self.on = False
        self.recent, self.since = 0, 0  # TS.Recent, and when it came
        self.last_ack = None            # Last.ACK.sent
        self.round_trip = None
        self.longest = 0                # of all round trips

    def clock(self):
        return (self.config.stamp_base + self._now() // self.config.stamp_cycles) & MASK

    @staticmethod
    def fields(segment):
        """(TSval, TSecr) or None."""
        raw = segment.options.get(8, b"")
        return (int.from_bytes(raw[:4], "big"), int.from_bytes(raw[4:], "big")) if len(raw) == 8 else None

    def sent(self, ack):
        """(TSval, TSecr) of a segment that acknowledges `ack`, None for one without ACK."""
        if ack is None:
            return self.clock(), 0
        self.last_ack = ack
        return self.clock(), self.recent

    def negotiated(self, segment):
        """The peer's SYN is there."""
        found = self.fields(segment)
        self.on = self.config.timestamps and found is not None
        if self.on:
            self.recent, self.since = found[0], self._now()
            self._measure(found)

    def judge(self, segment):
        """None if the segment may be processed, else why not: "paws", answered with an ACK, or "unstamped"."""
        found = self.fields(segment)
        if found is None:
            return "unstamped"
        outdated = self._now() - self.since > OUTDATED * self.config.stamp_cycles
        return "paws" if before(found[0], self.recent) and not outdated else None

    def taken(self, segment):
        """An acceptable segment (§4.3)."""
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
