"""`spps asm`, `spps disasm` and `spps isa`."""
import re

import click

from ..tools.errors import ToolError
from ..tools.options import Define, OutputFile, existing_file
from .asm import AssemblerError, assemble
from .disasm import disassemble_image
from .doc import isa_markdown
from .isa import PC_BITS, WORD_BITS

__all__ = ["asm", "disasm", "isa"]

_LOWEST, _HIGHEST = 1, 1 << PC_BITS
_DIGITS = WORD_BITS // 4
_WORD = re.compile(rf"\s*[0-9a-fA-F]{{{_DIGITS}}}\s*")


@click.command()
@click.argument("file", type=existing_file)
@click.option("-o", "--output", type=OutputFile(), help="Image to write: one word of 9 hex digits per line.")
@click.option("--list", "listing", type=OutputFile(), help="Listing to write: address, word and source line.")
@click.option("--sym", "symbols", type=OutputFile(), help="JSON to write: labels, constants and lines.")
@click.option("-D", "--define", "defines", multiple=True, type=Define(),
              help="Name for .ifdef, or constant; may be repeated.")
@click.option("-I", "--include", "include_dirs", multiple=True, type=click.Path(exists=True, file_okay=False),
              help="Folder to search for .include; may be repeated.")
@click.option("--words", type=click.IntRange(_LOWEST, _HIGHEST), default=_HIGHEST, show_default=True,
              help="Size of the instruction memory in words.")
def asm(file, output, listing, symbols, defines, include_dirs, words):
    """Assemble microcode.

    Without -o, --list or --sym, FILE is only checked. Errors are one line each: file, line, what was found and what was
    expected.
    """
    outputs = [path.resolve() for path in (output, listing, symbols) if path]
    if len({file.resolve(), *outputs}) <= len(outputs):
        raise click.UsageError("FILE, -o, --list and --sym: expected a different file for each")
    try:
        image = assemble(file, defines, include_dirs, words)
    except AssemblerError as error:
        for line in error.errors:
            click.echo(line, err=True)
        raise click.exceptions.Exit(1) from error
    for path, text in ((output, image.hex), (listing, image.listing), (symbols, image.symbol_map)):
        if path:
            path.write_text(text(), encoding="utf-8")
    click.echo(f"{file.name}: {len(image.words)} of {words} words")


@click.command()
@click.argument("file", type=existing_file)
def disasm(file):
    """Disassemble microcode.

    FILE is an image as written by `spps asm -o`: one word of 9 hex digits per line.
    """
    words = []
    for number, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if not _WORD.fullmatch(line):
            raise ToolError(f"{file}:{number}: `{line.strip()[:40]}`, expected {_DIGITS} hex digits")
        words.append(int(line, 16))
    if len(words) > _HIGHEST:
        raise ToolError(f"{file}:{_HIGHEST + 1}: {len(words)} words, expected at most {_HIGHEST}")
    click.echo(disassemble_image(words), nl=False)


@click.command()
def isa():
    """Print the instruction set as Markdown."""
    click.echo(isa_markdown(), nl=False)
