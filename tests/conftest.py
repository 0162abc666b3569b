"""The coverage of the microcode, judged at the end of a run."""
from pathlib import Path

from spps_sim.pytest_coverage import CoveragePlugin


def pytest_configure(config):
    config.pluginmanager.register(CoveragePlugin(config, Path(__file__).parent / "ucode"))
