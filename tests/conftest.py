"""The coverage of the microcode, judged at the end of a run; what tests with Linux peers need."""
from pathlib import Path

import pytest
from spps_sim.pytest_coverage import CoveragePlugin
from spps_sim.traffic.namespace import MissingPrivilege, require_privilege


def pytest_configure(config):
    config.pluginmanager.register(CoveragePlugin(config, Path(__file__).parent / "ucode"))


@pytest.fixture(scope="session")
def privilege():
    """Skips where TAP devices are not permitted, and says why; the Python peers and the model run everywhere."""
    try:
        require_privilege()
    except MissingPrivilege as reason:
        pytest.skip(f"Linux peers need TAP devices: {reason}")
