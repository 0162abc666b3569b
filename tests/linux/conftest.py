"""Testbeds that the tests of a module share, and the legs of the checklist."""
import pytest

from tests.linux.env_linux import Env
from tests.linux.linux_leg import LEGS, LinuxLeg


@pytest.fixture(scope="module")
def proxy_testbed(privilege):
    with Env("proxy") as peers:
        yield peers


@pytest.fixture(scope="module")
def endpoint_testbed(privilege):
    with Env("endpoint") as peers:
        yield peers


def _one_test(peers):
    """The shared testbed for one test; afterwards everything is closed."""
    peers.begin()
    yield peers
    peers.clear()
    peers.settle()


@pytest.fixture
def proxy(proxy_testbed):
    yield from _one_test(proxy_testbed)


@pytest.fixture
def endpoint(endpoint_testbed):
    yield from _one_test(endpoint_testbed)


@pytest.fixture(params=LEGS)
def leg(request):
    """Each leg in its turn, or those that a test names by parametrize("leg", ..., indirect=True)."""
    return LinuxLeg(request.getfixturevalue(LinuxLeg.mode(request.param)), request.param)
