"""A simulated clock beside wall time: never early, what it makes up for, when a unit must be silent."""
import pytest

from spps_sim.network.clock import WallClock

RATE, LEASE, TAKEOVER = 1000, 100, 300      # a clock is a millisecond
BOUNDS = {"travel": 0.02, "catch_up": 0.01, "ahead": 0.02}


class Wall:
    """Wall time by hand, and a simulation that runs what is due, at most `speed` clocks per second."""

    def __init__(self, speed=10**6):
        self.time, self.cycle, self.speed = 50.0, 7, speed
        self.clock = WallClock(RATE, LEASE, TAKEOVER, now=lambda: self.time, **BOUNDS)
        self.clock.start(self.cycle)
        self.begin = self.time

    def run(self, seconds, turn=0.002):
        end = self.time + seconds
        while self.time < end - 1e-9:
            self.time += turn
            self.cycle += max(0, min(self.clock.due(self.cycle), int(self.speed * turn)))
            assert (self.cycle - 7) / RATE <= self.time - self.begin + 1e-9, "ahead of wall time"


def test_keeps_to_wall_time():
    wall = Wall()
    wall.run(3.0)
    assert abs(wall.cycle - 7 - 3000) <= 2 and wall.clock.late == 0 and wall.clock.honest(wall.cycle)


def test_makes_up_for_a_short_pause_and_loses_a_long_one():
    wall = Wall()
    wall.time += 0.007
    wall.run(1.0)
    assert abs(wall.cycle - 7 - 1007) <= 2 and wall.clock.late == 0
    wall.time += 0.05
    wall.run(1.0)
    assert abs(wall.cycle - 7 - 2012) <= 3 and wall.clock.late == 1
    assert wall.clock.lost == wall.clock.worst == pytest.approx(0.047, abs=0.002)
    assert wall.clock.silenced == 0


def test_a_unit_that_lost_more_than_the_margin_is_silent_for_a_lease():
    """0.2 s lie between lease and takeover; travel, making up and being ahead take 0.05."""
    wall = Wall()
    assert wall.clock.margin == pytest.approx(0.15)
    wall.run(0.1)
    wall.time += 0.14
    wall.run(0.002)
    assert wall.clock.honest(wall.cycle)
    wall.time += 0.02
    wall.run(0.002)
    assert not wall.clock.honest(wall.cycle) and wall.clock.silenced == 1, "together they are more"
    wall.run(0.09)
    assert not wall.clock.honest(wall.cycle)
    wall.run(0.02)
    assert wall.clock.honest(wall.cycle), "the lease of before has ended by its own clock"


def test_a_simulation_that_is_too_slow_loses_time_all_the_time():
    wall = Wall(speed=500)
    wall.run(2.0)
    assert abs(wall.cycle - 7 - 1000) < 20
    assert wall.clock.lost == pytest.approx(1.0, abs=0.05) and wall.clock.late > 50


def test_refuses_times_that_leave_no_margin():
    with pytest.raises(ValueError, match="nothing is left for a clock that is slow"):
        WallClock(RATE, LEASE, LEASE + 45, now=lambda: 0.0, **BOUNDS)
