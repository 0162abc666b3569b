"""The functional SPPS keeps which connections the program has said need no record."""
import pytest

from spps.layouts.message import MessageKind, Unit
from spps_sim.model.functional import ProgramError
from spps_sim.model.functional_pair import VIP_0, FunctionalPair


def message(kind, conn):
    """Words of a message for the lookup controller that is a header alone."""
    return [kind.value | Unit.LOOKUP.value << 8, conn]


def test_endpoints_are_covered_from_their_handshake_to_their_end():
    pair = FunctionalPair(standby=False, config={"mode": 0, "msl": 50})
    unit = pair.units[0]
    clients = [pair.client.connect(VIP_0, 7) for _ in range(2)]
    pair.run(until=lambda: all(client.state.name == "ESTABLISHED" for client in clients) and not unit.half_open)
    assert unit.covered == unit.in_use and len(unit.in_use) == 2
    clients[0].abort()
    pair.run(until=lambda: len(unit.in_use) == 1)
    assert unit.covered == unit.in_use
    clients[1].close()
    pair.run()
    assert not unit.in_use and not unit.covered


def test_a_proxied_connection_is_not_covered_by_the_program():
    pair = FunctionalPair(standby=False, config={"mode": 1})
    unit = pair.units[0]
    pair.server.listen(80, lambda *_: None)
    client = pair.client.connect(VIP_0, 80)
    pair.run(until=lambda: client.state.name == "ESTABLISHED" and not unit.half_open)
    assert unit.in_use and not unit.covered


@pytest.mark.parametrize("kind", (MessageKind.COVERED, MessageKind.ESTABLISHED))
def test_an_event_speaks_for_its_own_connection(kind):
    unit = FunctionalPair(standby=False).units[0]
    unit.execute(message(kind, 3), 3, False)
    assert unit.covered == ({3} if kind is MessageKind.COVERED else set())
    with pytest.raises(ProgramError, match="connection 4 .* in an event of 3"):
        unit.execute(message(kind, 4), 3, False)
