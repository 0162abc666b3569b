"""Simulated clocks that keep to wall time, and what a unit may say while its clock has not."""
from collections import deque

__all__ = ["WallClock"]


class WallClock:
    """Says how many clocks a simulation may run, so that its clock keeps to `rate` clocks per second of wall time.

    The clock is ahead of wall time by no more than `ahead` seconds. What it is behind by it makes up for, up to
    `catch_up` seconds; more than that is lost: the clock was slow, and that is counted. So a standby, whose time to a
    takeover is counted by its clock, takes over early by `ahead` and `catch_up` at most. An active unit that has lost
    more than `margin` seconds while a lease runs may still hold the lease when the standby has taken over; `honest` is
    false then, and the unit must not be heard on the networks.

    Parameters
    ----------
    rate : int
        Clocks per second.
    lease, takeover_after : int
        Registers of the unit, clocks.
    travel : float
        Seconds that a frame on the sync link may take.
    catch_up, ahead : float
        Seconds.
    now : callable
        Wall time in seconds.

    Attributes
    ----------
    margin : float
        Seconds that the clock of an active unit may lose within a lease.
    late, lost, worst : int, float, float
        How often time was lost; seconds, in all and at most at a time.
    silenced : int
        How often more than the margin was lost.

    Raises
    ------
    ValueError
        There is no margin.
    """

    def __init__(self, rate, lease, takeover_after, *, travel, catch_up, ahead, now):
        self.rate, self.lease, self.catch_up, self.now = rate, lease, catch_up, now
        self.margin = (takeover_after - lease) / rate - travel - catch_up - ahead
        if self.margin <= 0:
            raise ValueError(f"takeover_after={takeover_after}, lease={lease}: at {rate} clocks per second nothing is "
                             "left for a clock that is slow")
        self.late, self.lost, self.worst, self.silenced = 0, 0.0, 0.0, 0
        self._begin, self._cycle = now(), 0
        self._recent = deque()      # (cycle, seconds lost) within the last lease

    def start(self, cycle):
        """Begin: the clock is right at `cycle`, now."""
        self._begin, self._cycle = self.now(), cycle

    def behind(self, cycle):
        """Seconds that a simulation which has run to `cycle` is behind wall time; negative: ahead."""
        return self.now() - self._begin - (cycle - self._cycle) / self.rate

    def due(self, cycle):
        """Clocks that may run now, of a simulation that has run to `cycle`; 0 or less: wait."""
        behind = self.behind(cycle)
        if behind > self.catch_up:
            was_honest, left = self.honest(cycle), self.catch_up / 2
            lost, behind = behind - left, left
            self._begin += lost
            self._recent.append((cycle, lost))
            self.late += 1
            self.lost += lost
            self.worst = max(self.worst, lost)
            self.silenced += was_honest and not self.honest(cycle)
        return int(behind * self.rate)

    def honest(self, cycle):
        """Whether the time lost within the last lease is less than the margin."""
        while self._recent and cycle - self._recent[0][0] > self.lease:
            self._recent.popleft()
        return sum(lost for _, lost in self._recent) < self.margin
