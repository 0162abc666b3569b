"""Retransmission timer of a peer (RFC 6298), in cycles."""

__all__ = ["RetransmissionTimer"]


class RetransmissionTimer:
    """Computes RTO from samples and backs off.

    initial, minimum, maximum: cycles. granularity: clock granularity G of RFC 6298, cycles.
    """

    def __init__(self, initial, minimum, maximum, granularity=1):
        self._initial, self._minimum, self._maximum, self._granularity = initial, minimum, maximum, granularity
        self.srtt = None
        self.rttvar = None
        self.value = initial
        self.deadline = None
        self.backoffs = 0

    def sample(self, rtt):
        """Take one measurement (never of a retransmitted segment: Karn)."""
        if self.srtt is None:
            self.srtt, self.rttvar = rtt, rtt // 2
        else:
            self.rttvar = (3 * self.rttvar + abs(self.srtt - rtt)) // 4
            self.srtt = (7 * self.srtt + rtt) // 8
        self.value = self._clamp(self.srtt + max(self._granularity, 4 * self.rttvar))

    def _clamp(self, value):
        return min(max(value, self._minimum), self._maximum)

    def start(self, now):
        self.deadline = now + self.value

    def stop(self):
        self.deadline = None

    def back_off(self, now):
        """Double and restart (5.5, 5.6)."""
        self.backoffs += 1
        self.value = min(self.value * 2, self._maximum)
        self.start(now)

    def progress(self):
        """New data was acknowledged: leave the back-off."""
        if self.backoffs:
            self.backoffs = 0
            self.value = self._initial if self.srtt is None else self._clamp(self.srtt + max(self._granularity, 4 * self.rttvar))
