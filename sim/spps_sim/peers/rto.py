"""Retransmission timer of a peer (RFC 6298), in cycles."""

__all__ = ["RetransmissionTimer"]


class RetransmissionTimer:
    """Retransmission timeout from round-trip samples, with back-off.

    Parameters
    ----------
    initial, minimum, maximum : int
        Timeout, cycles.
    granularity : int
        Clock granularity G of RFC 6298, cycles.
    """

    def __init__(self, initial, minimum, maximum, granularity=1):
        self._initial, self._minimum, self._maximum, self._granularity = initial, minimum, maximum, granularity
        self.srtt: int | None = None
        self.rttvar = 0
        self.value = initial
        self.deadline = None
        self.backoffs = 0

    def sample(self, rtt):
        """Take one measurement; never of a retransmitted segment (Karn)."""
        if self.srtt is None:
            self.srtt, self.rttvar = rtt, rtt // 2
        else:
            self.rttvar = (3 * self.rttvar + abs(self.srtt - rtt)) // 4
            self.srtt = (7 * self.srtt + rtt) // 8
        self.value = self._measured(self.srtt)

    def _measured(self, srtt):
        return min(max(srtt + max(self._granularity, 4 * self.rttvar), self._minimum), self._maximum)

    def start(self, now):
        """Expire one timeout after `now`."""
        self.deadline = now + self.value

    def stop(self):
        """Do not expire."""
        self.deadline = None

    def back_off(self, now):
        """Double the timeout and start again (RFC 6298 §5.5, §5.6)."""
        self.backoffs += 1
        self.value = min(self.value * 2, self._maximum)
        self.start(now)

    def progress(self):
        """Leave the back-off: new data was acknowledged."""
        if self.backoffs:
            self.backoffs = 0
            self.value = self._initial if self.srtt is None else self._measured(self.srtt)
