"""What the tests of single segments share: legs by name, flags, an open leg and whether it still works."""
import pytest

from spps_sim.model.tcp_legs import LEGS as NAMES
from spps_sim.model.tcp_legs import Leg

__all__ = ["CWR", "ECE", "LEGS", "PROXIED", "PSH", "URG", "alive", "opened"]

LEGS = pytest.mark.parametrize("name", NAMES)
PROXIED = pytest.mark.parametrize("name", ["client", "server"])
PSH, URG, ECE, CWR = 8, 32, 64, 128


def opened(name, **kw):
    leg = Leg(name, **kw)
    leg.open()
    return leg


def alive(leg):
    """The connection still takes data in order."""
    before = leg.far_received()
    leg.send(payload=b"alive")
    leg.take(leg.settle())
    leg.nxt += 5
    return leg.far_received() == before + 5
