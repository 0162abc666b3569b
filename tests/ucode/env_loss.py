"""What the tests of retransmission and congestion share: legs by name, both modules, and what has left on a leg."""
import pytest

from spps_sim.checker.wire import FIN, parse_segment
from spps_sim.model.tcp_legs import LEGS as NAMES
from spps_sim.model.tcp_legs import Leg
from spps_sim.peers.frames import mss_option, sack_permitted_option

__all__ = ["LEGS", "MODULES", "SACK", "opened", "sent"]

LEGS = pytest.mark.parametrize("name", NAMES)
MODULES = pytest.mark.parametrize("defines", [(), ("CUBIC",)], ids=["newreno", "cubic"])
SACK = {"client": {"sack": True}, "server": {"sack": True}}


def opened(name, mss=1000, sack=False, lose_first=False, **kw):
    """lose_first: our part of the handshake comes only when the unit has repeated its own."""
    leg = Leg(name, options=mss_option(mss) + (sack_permitted_option() if sack else b""),
              **({"client": {"sack": sack}, "server": {"sack": sack}} | kw))
    if lose_first:
        leg.syn()
        leg.first()
        leg.settle(1100)
        leg.finish()
        leg.settle()
    else:
        leg.open()
    return leg


def sent(leg):
    """(time, segment) of every data or FIN segment of the unit on this leg so far."""
    link = "server" if leg.name == "server" else "client"
    found = [(f.time, parse_segment(f.data)) for f in leg.pair.capture if f.unit == 0 and f.link == link]
    return [(t, s) for t, s in found if s and (s.payload or s.flags & FIN)]
