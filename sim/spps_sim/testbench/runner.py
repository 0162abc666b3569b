"""Builds an Amaranth component as a top and runs a cocotb bench on it."""
import os
import shutil
import sys
from pathlib import Path

from spps.tools.paths import BUILD, tool_environment
from spps.tools.verilog import to_verilog

__all__ = ["SIMULATORS", "default_seed", "run_bench", "simulations"]

#: simulators the block benches run under; SPPS_SIM names others, or only one
SIMULATORS = tuple(os.environ.get("SPPS_SIM", "icarus,verilator").split(","))


def simulations(sizes, usual):
    """(size, simulator) of a block bench: Verilator runs every size, slower Icarus only the `usual` one. With SPPS_SIM each named one runs all."""
    return [(size, simulator) for size in sizes for simulator in SIMULATORS
            if simulator != "icarus" or size == usual or "SPPS_SIM" in os.environ]


def default_seed():
    """The seed of this run: SPPS_SEED, or 1."""
    return int(os.environ.get("SPPS_SEED", "1"))


def _shallow(runner):
    """Let a Verilator runner show a bench the ports of the top and nothing below: which then builds and runs at full speed."""
    full = runner._build_command

    def build_command():
        verilate, *others = full()
        at = verilate.index("--public-flat-rw")
        return [[*verilate[:at], "--public-depth", "1", *verilate[at + 1:]], *others]
    runner._build_command = build_command


def _replay(seed, simulator):
    """The command that runs the test of this process again, with waves."""
    node = os.environ.get("PYTEST_CURRENT_TEST", "tests").rsplit(" (", 1)[0]
    return f"SPPS_SEED={seed} SPPS_SIM={simulator} SPPS_WAVES=1 pytest -n 0 '{node}'"


def run_bench(component, module, *, name, simulator="icarus", parameters=None, testcase=None,
              waves=False, timescale=("1ns", "1ps"), extra_env=None, inside=False):
    """Build `component` as top `name` and run the cocotb tests of Python module `module`; returns the build folder.

    component: an Amaranth component, or the path of a Verilog file. module: full name of a module that this process could import.
    simulator: "icarus" or "verilator". parameters: dict handed to the bench as environment variables SPPS_P_<KEY>.
    inside: the bench looks inside the top; with Verilator a bench of the ports alone builds and runs far faster.
    Raises AssertionError when a test fails; prints the command that replays it.
    """
    import pytest
    from cocotb_tools.runner import get_runner

    if simulator == "icarus" and not shutil.which("iverilog"):
        pytest.skip("iverilog is not installed (apt-get install iverilog)")
    seed = default_seed()
    tag = "_".join([name] + [f"{k}{v}" for k, v in sorted((parameters or {}).items())])
    build = BUILD / "cocotb" / simulator / tag
    build.mkdir(parents=True, exist_ok=True)
    source = component if isinstance(component, Path) else to_verilog(component, name, build / f"{name}.v")
    env = tool_environment()
    saved = dict(os.environ)
    os.environ.update({"PATH": env["PATH"], "MAKEFLAGS": env["MAKEFLAGS"], **({"OBJCACHE": env["OBJCACHE"]} if "OBJCACHE" in env else {})})
    try:
        runner = get_runner(simulator)
        args = []
        if simulator == "verilator":
            if not inside:
                _shallow(runner)
            args = ["-Wno-fatal", "-Wno-WIDTH", "-O3", "--x-initial", "unique"] + (["--trace-fst", "--trace-structs"] if waves else [])
        runner.build(sources=[source], hdl_toplevel=name, build_dir=build, build_args=args, always=False,
                     timescale=timescale if simulator == "icarus" else None, waves=waves and simulator == "icarus")
        bench_env = {"SPPS_SEED": str(seed), "COCOTB_RANDOM_SEED": str(seed), "PYTHONPATH": os.pathsep.join(sys.path),
                     **{f"SPPS_P_{k.upper()}": str(v) for k, v in (parameters or {}).items()}, **(extra_env or {})}
        results = runner.test(hdl_toplevel=name, test_module=module, build_dir=build, test_dir=build, seed=seed,
                              extra_env=bench_env, waves=waves and simulator == "icarus", testcase=testcase, results_xml=str(build / "results.xml"))
        from cocotb_tools.runner import get_results
        total, failed = get_results(Path(results))
        if failed or not total:
            print(f"replay: {_replay(seed, simulator)}")
        assert total, f"{module}: no cocotb test ran"
        assert not failed, f"{module}: {failed} of {total} cocotb tests failed (seed {seed}, {simulator}, log in {build})"
        return build
    except SystemExit as error:
        raise AssertionError(f"{module}: simulator exited {error.code} (seed {seed}, {simulator}, {build})") from error
    finally:
        os.environ.clear()
        os.environ.update(saved)
