"""Builds an Amaranth component as a top and runs a cocotb bench on it."""
import os
import shutil
import sys
from pathlib import Path

from spps.tools.paths import BUILD, tool_environment
from spps.tools.verilog import to_verilog

from ..backend.verilated import trace_kind
from .replay import default_seed, replay_command, waves_wanted

__all__ = ["SIMULATORS", "default_seed", "fast_simulators", "run_bench", "simulations"]

#: simulators the block benches run under; SPPS_SIM names others, or only one
SIMULATORS = tuple(os.environ.get("SPPS_SIM", "icarus,verilator").split(","))


def simulations(sizes, usual):
    """Pairs (size, simulator) to parametrize a block bench with.

    Verilator runs every size, the slower Icarus only `usual`. With SPPS_SIM each simulator named there runs all sizes.
    """
    return [(size, simulator) for size in sizes for simulator in SIMULATORS
            if simulator != "icarus" or size == usual or "SPPS_SIM" in os.environ]


def fast_simulators():
    """Simulators to parametrize a second bench of a design with: Icarus, which is slower, has run the first one.

    With SPPS_SIM each simulator named there.
    """
    return [simulator for simulator in SIMULATORS if simulator != "icarus" or "SPPS_SIM" in os.environ]


def _shallow(runner):
    """Let a Verilator runner make public only the ports of the top: the bench then builds and runs at full speed."""
    full = runner._build_command

    def build_command():
        verilate, *others = full()
        at = verilate.index("--public-flat-rw")
        return [[*verilate[:at], "--public-depth", "1", *verilate[at + 1:]], *others]
    runner._build_command = build_command


def _verilator_arguments(waves):
    """Arguments of a build; Verilator takes the last kind of trace it is given, and cocotb gives the first."""
    always = ["-Wno-fatal", "-Wno-WIDTH", "-O3", "--x-initial", "unique"]
    return always + ([f"--trace-{trace_kind()}", "--trace-structs"] if waves else [])


def run_bench(component, module, *, name, simulator="icarus", parameters=None, testcase=None,
              waves=None, timescale=("1ns", "1ps"), extra_env=None, inside=False, optimise="-O0"):
    """Build `component` as top `name` and run the cocotb tests of Python module `module` on it.

    Parameters
    ----------
    component : Component or Path
        An Amaranth component, or a Verilog file.
    module : str
        Full name of a module that this process could import.
    name : str
        Name of the top, and first part of the name of the build directory.
    simulator : str
        "icarus" or "verilator".
    parameters : dict, optional
        Handed to the bench as environment variables SPPS_P_<KEY>.
    testcase : str, optional
        Run only this cocotb test.
    waves : bool, optional
        Record a waveform <name>.fst (.vcd where lz4.h is missing) in the build directory; default: as SPPS_WAVES says.
    timescale : tuple of str
        Unit and precision, for Icarus.
    extra_env : dict, optional
        Further environment variables of the bench.
    inside : bool
        The bench reads signals below the ports of the top; with Verilator one of the ports alone builds and runs
        faster.
    optimise : str
        Option of the C++ compiler, for Verilator. Most benches take longer to build than to simulate.

    Returns
    -------
    Path
        The build directory, build/cocotb/<simulator>/<name>_<parameters>; with waves it ends in `_waves`.

    Raises
    ------
    AssertionError
        When a test fails, none runs, or the build fails; the command that replays it is printed before.
    """
    import pytest
    from cocotb_tools.check_results import get_results
    from cocotb_tools.runner import get_runner

    if simulator == "icarus" and not shutil.which("iverilog"):
        pytest.skip("iverilog is not installed (apt-get install iverilog)")
    waves = waves_wanted() if waves is None else waves
    seed = default_seed()
    # a build with waves is another program: it has a directory of its own, so that neither is taken for the other
    tag = "_".join([name, *(f"{k}{v}" for k, v in sorted((parameters or {}).items())), *(["waves"] if waves else [])])
    build = BUILD / "cocotb" / simulator / tag
    build.mkdir(parents=True, exist_ok=True)
    source = component if isinstance(component, Path) else to_verilog(component, name, build / f"{name}.v")
    wave_file = build / f"{name}.{'fst' if simulator == 'icarus' else trace_kind()}"
    env = tool_environment()
    saved = dict(os.environ)
    os.environ.update({key: env[key] for key in ("PATH", "MAKEFLAGS", "OBJCACHE") if key in env})
    os.environ["MAKEFLAGS"] += f" OPT_FAST={optimise} OPT_GLOBAL={optimise} OPT_SLOW=-O0"
    passed, what = False, f"seed {seed}, {simulator}, files in {build}"
    try:
        runner = get_runner(simulator)
        build_arguments, test_arguments = [], []
        if simulator == "verilator":
            if not inside:
                _shallow(runner)
            build_arguments = _verilator_arguments(waves)
            test_arguments = ["--trace-file", str(wave_file)] if waves else []
        runner.build(sources=[source], hdl_toplevel=name, build_dir=build, build_args=build_arguments, always=False,
                     timescale=timescale if simulator == "icarus" else None, waves=waves)
        bench_env = {"SPPS_SEED": str(seed), "COCOTB_RANDOM_SEED": str(seed), "PYTHONPATH": os.pathsep.join(sys.path),
                     **{f"SPPS_P_{k.upper()}": str(v) for k, v in (parameters or {}).items()}, **(extra_env or {})}
        results = build / "results.xml"
        results.unlink(missing_ok=True)
        try:
            runner.test(hdl_toplevel=name, test_module=module, build_dir=build, test_dir=build, seed=seed,
                        extra_env=bench_env, waves=waves, test_args=test_arguments, testcase=testcase,
                        results_xml=str(results))
        except SystemExit:          # under pytest cocotb ends so when a test has failed
            if not results.exists():
                raise
        total, failed = get_results(results)
        assert total, f"{module}: no cocotb test ran"
        assert not failed, f"{module}: {failed} of {total} cocotb tests failed ({what})"
        passed = True
        return build
    except SystemExit as error:
        raise AssertionError(f"{module}: build or simulator exited with {error.code} ({what})") from error
    finally:
        os.environ.clear()
        os.environ.update(saved)
        if not passed:
            print(f"replay: {replay_command(seed, simulator)}")
        if waves:
            print(f"waves: {wave_file}")
