"""Plants that the tests of a module share, and the legs of the checklist."""
import pytest

from tests.linux.linux_leg import LEGS, Leg
from tests.linux.linux_peers import Peers


@pytest.fixture(scope="module")
def proxy_plant(privilege):
    with Peers("proxy") as peers:
        yield peers


@pytest.fixture(scope="module")
def endpoint_plant(privilege):
    with Peers("endpoint") as peers:
        yield peers


def _one_test(peers):
    """The shared testbed for one test; afterwards everything is closed."""
    peers.begin()
    yield peers
    peers.clear()
    peers.settle()


@pytest.fixture
def proxy(proxy_plant):
    yield from _one_test(proxy_plant)


@pytest.fixture
def endpoint(endpoint_plant):
    yield from _one_test(endpoint_plant)


@pytest.fixture(params=LEGS)
def leg(request):
    """Each leg in its turn, or those that a test names by parametrize("leg", ..., indirect=True)."""
    return Leg(request.getfixturevalue(Leg.mode(request.param)), request.param)
