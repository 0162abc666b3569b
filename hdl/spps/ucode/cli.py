"""Command line of the microcode tools; the group `main` is also a subcommand of `spps`."""
import sys
from pathlib import Path

import click

from .asm import AssemblerError, assemble
from .disasm import disassemble_image
from .doc import isa_markdown
from .isa import PC_BITS, WORD_BITS

__all__ = ["main"]


@click.group(name="ucode")
def main():
    """Microcode: assemble, disassemble, document."""


@main.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="One word of 9 hex digits per line.")
@click.option("--list", "listing", type=click.Path(path_type=Path), help="Address, word and source line.")
@click.option("--sym", "symbols", type=click.Path(path_type=Path), help="Labels, constants and lines as JSON.")
@click.option("-D", "--define", "defines", multiple=True, metavar="NAME[=VALUE]")
@click.option("-I", "--include", "include_dirs", multiple=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--words", default=1 << PC_BITS, show_default=True, help="Size of the instruction memory.")
def asm(file, output, listing, symbols, defines, include_dirs, words):
    """Assemble FILE."""
    try:
        image = assemble(file, defines, include_dirs, words)
    except AssemblerError as error:
        for line in error.errors:
            click.echo(line, err=True)
        sys.exit(1)
    for path, text in ((output, image.hex), (listing, image.listing), (symbols, image.symbol_map)):
        if path:
            path.write_text(text(), encoding="utf-8")
    click.echo(f"{file.name}: {len(image.words)} of {words} words")


@main.command()
@click.argument("file", type=click.File("r"))
def disasm(file):
    """Disassemble FILE, as written by asm -o."""
    words = []
    for number, line in enumerate(file, 1):
        try:
            words.append(int(line, 16))
        except ValueError:
            words.append(-1)
        if not 0 <= words[-1] < 1 << WORD_BITS:
            click.echo(f"{file.name}:{number}: `{line.strip()}`, expected 9 hex digits", err=True)
            sys.exit(1)
    click.echo(disassemble_image(words), nl=False)


@main.command()
def doc():
    """Print ISA.md."""
    click.echo(isa_markdown(), nl=False)
