"""Markers by what a test needs, the coverage of the microcode, and fixtures for what a machine may lack."""
from pathlib import Path

import pytest

from spps_sim.network.namespaces import MissingPrivilege, require_privilege
from spps_sim.testbench.pytest_coverage import CoveragePlugin
from spps_sim.testbench.runner import run_bench

HERE = Path(__file__).parent
#: directories of which every test simulates, proves or synthesizes RTL
RTL = {"boards", "demo", "formal", "linux", "measure", "model", "system"}


def pytest_addoption(parser):
    parser.addoption("--no-skip", action="store_true", help="what this machine lacks fails a test that needs it")


def pytest_configure(config):
    config.pluginmanager.register(CoveragePlugin(config, HERE / "ucode"))


def _calls_bench(item):
    """Whether a test calls run_bench, directly or through one function of its module."""
    names = set(item.function.__code__.co_names)
    functions = [vars(item.module).get(name) for name in names]
    return run_bench in functions or any(
        "run_bench" in f.__code__.co_names
        for f in functions if getattr(f, "__module__", None) == item.module.__name__ and hasattr(f, "__code__"))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.relative_to(HERE).parts[0] in RTL or _calls_bench(item):
            item.add_marker(pytest.mark.rtl)
        if "privilege" in item.fixturenames or item.path.parent.name == "linux":
            item.add_marker(pytest.mark.root)


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
