"""What `spps` and its commands say of themselves."""

import inspect
import re

import click
import pytest
from click.testing import CliRunner

from spps.cli import COMMANDS, main
from tests.cli.env_cli import Env


def tree(command, words=()):
    """(words, command) of a command and of all below it."""
    yield words, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            yield from tree(command.get_command(context, name), (*words, name))


TREE = list(tree(main))


@pytest.mark.parametrize("words, command", TREE, ids=[" ".join(("spps", *words)) for words, _ in TREE])
def test_help_names_every_option_with_its_choices(words, command):
    for option in ("--help", "-h"):
        done = CliRunner().invoke(main, [*words, option], prog_name="spps", terminal_width=200)
        assert done.exit_code == 0 and done.output.startswith(f"Usage: {' '.join(('spps', *words))}"), done.output
    for param in command.params:
        if isinstance(param, click.Option):
            assert param.help, f"{param.opts[-1]} has no help"
            assert param.opts[-1] in done.output
        for choice in getattr(param.type, "choices", ()):
            assert re.search(rf"\b{re.escape(str(choice))}\b", done.output), (
                f"{choice} of {param.name} is not in the help"
            )


#: numbers without a unit because they count what their name says, or are a key
COUNTS = {"seed", "seeds", "conn", "limit", "unit"}


def test_numbers_say_their_unit():
    wanting = []
    for words, command in TREE:
        for param in command.params:
            number = isinstance(param.type, (click.IntRange, click.FloatRange)) or param.type.name in (
                "integer",
                "float",
            )
            text = (getattr(param, "help", None) or inspect.getdoc(command.callback) or "").lower()
            if (
                number
                and param.name not in COUNTS
                and not re.search(
                    r"\b(bytes?|cycles?|clocks?|mhz|seconds|s|words?|number|port|unit)\b",
                    f"{text} {param.metavar or ''}".lower(),
                )
            ):
                wanting.append(f"{' '.join(words)}: {param.name}: {text}")
    assert not wanting, "\n".join(wanting)


def test_the_tool_has_its_commands_and_lists_them_with_their_first_sentences():
    assert {
        "asm",
        "disasm",
        "isa",
        "verilog",
        "registers",
        "synth",
        "demo",
        "live",
        "ctl",
        "campaign",
        "compare",
        "trace",
        "bench",
    } <= set(COMMANDS)
    found = {words[0]: command for words, command in TREE if len(words) == 1}
    assert set(found) == set(COMMANDS)
    assert {name: command.get_short_help_str(limit=200) for name, command in found.items()} == {
        name: c.text for name, c in COMMANDS.items()
    }


def test_the_list_of_commands_imports_none_of_them(tmp_path):
    """`spps --help` has to be there at once: no Amaranth, no simulation."""
    done = Env(tmp_path).python("""
import sys
from spps.cli import main
main(["--help"], standalone_mode=False)
heavy = {"amaranth", "scapy", "rich", "spps_sim", "spps_boards", "spps.ucode"} & set(sys.modules)
sys.exit(", ".join(heavy) or 0)
""")
    assert done.returncode == 0 and "campaign" in done.stdout, done.stderr


def test_help_of_commands_with_an_output_folder_says_which():
    wide = {
        words[0]: CliRunner().invoke(main, [*words, "--help"], terminal_width=400).output
        for words, command in TREE
        if any(param.name == "out" for param in command.params)
    }
    assert set(wide) == {"verilog", "synth", "demo", "trace", "campaign", "bench", "compare"}
    for text in wide.values():
        assert "$SPPS_BUILD, else build of the checkout, else build of the current folder" in text


def test_python_m_spps_is_the_same_command(tmp_path):
    done = Env(tmp_path).python(
        "import runpy, sys\nsys.argv = ['spps', '--help']\nrunpy.run_module('spps', run_name='__main__')"
    )
    assert done.returncode == 0 and done.stdout == CliRunner().invoke(main, ["--help"], prog_name="spps").output
