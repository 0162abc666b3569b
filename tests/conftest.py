"""What a plain run leaves out, and why.

Every block bench runs at every width under Icarus, and at 64 bits under Verilator: the widths differ in the block, not in the
simulator, and a Verilator build costs half a minute. SPPS_FULL=1 runs all combinations.
"""
import os
from pathlib import Path

from spps_sim.pytest_coverage import CoveragePlugin


def _left_out(item):
    values = getattr(item, "callspec", None) and item.callspec.params
    return bool(values) and values.get("simulator") == "verilator" and values.get("width", 64) != 64


def pytest_collection_modifyitems(config, items):
    if os.environ.get("SPPS_FULL") == "1":
        return
    left_out = [item for item in items if _left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _left_out(item)]


def pytest_configure(config):
    config.pluginmanager.register(CoveragePlugin(config, Path(__file__).parent / "ucode"))
