"""The coverage of the microcode, judged at the end of a run; what tests with Linux peers need."""
from pathlib import Path

import pytest
from spps_sim.network.namespaces import MissingPrivilege, require_privilege
from spps_sim.testbench.pytest_coverage import CoveragePlugin


def pytest_addoption(parser):
    parser.addoption("--no-skip", action="store_true", help="what this machine lacks fails a test that needs it")


def pytest_configure(config):
    config.pluginmanager.register(CoveragePlugin(config, Path(__file__).parent / "ucode"))


@pytest.fixture(scope="session")
def lacking(pytestconfig):
    """lacking(reason) skips, or fails with --no-skip."""
    return pytest.fail if pytestconfig.getoption("no_skip") else pytest.skip


@pytest.fixture(scope="session")
def privilege(lacking):
    """Skips where TAP devices are not permitted, and says why; the Python peers and the model run everywhere."""
    try:
        require_privilege()
    except MissingPrivilege as reason:
        lacking(f"Linux peers need TAP devices: {reason}")
