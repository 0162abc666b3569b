"""Types and options that the commands of `spps` share: they refuse bad input before anything is built."""
import os
import re
import tempfile
from pathlib import Path

import click

from ..params import PRESETS
from .errors import ToolError
from .paths import BUILD

__all__ = [
    "COUNT", "CYCLES", "DATA_WIDTH", "PRESET", "SEED", "ByteCount", "CountOrAll", "Define", "OutputFile", "SeedList",
    "checked_output", "existing_file", "out_option", "preset_option",
]

COUNT = click.IntRange(min=1)
CYCLES = click.IntRange(min=1)
SEED = click.IntRange(0, (1 << 31) - 1)
PRESET = click.Choice(list(PRESETS))
DATA_WIDTH = click.Choice(["32", "64", "128"])
existing_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)

_BUILD_FOLDER = "which is $SPPS_BUILD, else build of the checkout, else build of the current folder"
_UNITS = {"": 1, "k": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class ByteCount(click.ParamType):
    """A number of bytes of at least `low`; k, M and G behind it mean 2**10, 2**20 and 2**30."""

    name = "bytes"

    def __init__(self, low=1):
        self.low = low

    def get_metavar(self, param, ctx=None):
        """Return what stands for the value in --help."""
        return "BYTES"

    def convert(self, value, param, ctx):
        """Return the number, or fail."""
        found = re.fullmatch(r"(\d+)([kMG]?)", str(value))
        if not found or int(found[1]) * _UNITS[found[2]] < self.low:
            wanted = f"expected a number of bytes of at least {self.low}, such as 4096, 64k or 1M"
            self.fail(f"{value!r}: {wanted}", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


class CountOrAll(click.ParamType):
    """A positive number, or "all", which becomes None."""

    name = "count"

    def get_metavar(self, param, ctx=None):
        """Return what stands for the value in --help."""
        return "NUMBER|all"

    def convert(self, value, param, ctx):
        """Return the number or None, or fail."""
        if value in (None, "all"):
            return None
        if not re.fullmatch(r"\d+", str(value)) or not int(value):
            self.fail(f"{value!r}: expected a positive number or 'all'", param, ctx)
        return int(value)


class SeedList(click.ParamType):
    """Seeds separated by commas, as a tuple."""

    name = "seeds"

    def get_metavar(self, param, ctx=None):
        """Return what stands for the value in --help."""
        return "SEED[,SEED]..."

    def convert(self, value, param, ctx):
        """Return the tuple, or fail."""
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"\d+(,\d+)*", str(value)):
            self.fail(f"{value!r}: expected seeds separated by commas, such as 1,2,3", param, ctx)
        return tuple(SEED.convert(seed, param, ctx) for seed in value.split(","))


class Define(click.ParamType):
    """NAME or NAME=VALUE of the assembler."""

    name = "define"

    def get_metavar(self, param, ctx=None):
        """Return what stands for the value in --help."""
        return "NAME[=VALUE]"

    def convert(self, value, param, ctx):
        """Return the text, or fail."""
        if not re.fullmatch(r"[A-Za-z_]\w*(=.+)?", value):
            self.fail(f"{value!r}: expected NAME or NAME=VALUE", param, ctx)
        return value


class OutputFile(click.Path):
    """A file to write, in a folder that exists."""

    def __init__(self):
        super().__init__(dir_okay=False, writable=True, path_type=Path)

    def convert(self, value, param, ctx):
        """Return the Path, or fail."""
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if not path.parent.is_dir():
            self.fail(f"{str(value)!r}: expected a file in a folder that exists", param, ctx)
        return path


def checked_output(path):
    """Return `path` when something can be made there, its parents included. Raises ToolError naming what is wrong."""
    try:
        folder = path if path.is_dir() else next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir():
            raise ToolError(f"'{path}': {folder} is a file, expected a folder")
        os.rmdir(tempfile.mkdtemp(dir=folder))
    except OSError as error:
        raise ToolError(f"'{path}': nothing can be written there: {error.strerror}") from error
    return path


class _OutputPath(click.Path):
    """A path to write, whose parents are folders or can be made."""

    def convert(self, value, param, ctx):
        """Return the Path, or fail."""
        if not str(value):
            self.fail("'': expected a path", param, ctx)
        try:
            return checked_output(Path(os.fsdecode(super().convert(value, param, ctx))))
        except ToolError as error:
            self.fail(str(error), param, ctx)


def preset_option(default: str | None = "tiny", text="Sizes of the unit."):
    """--preset: one of PRESETS. default: None where the command chooses. text: its help."""
    return click.option("--preset", type=PRESET, default=default, show_default=default is not None, help=text)


def out_option(where, text, *, file=False):
    """--out: a folder, or with `file` a file, made with its parents. text: what is written there.

    The default is `where` below the build folder; None when `where` has a word in capitals, which the command then
    replaces by a value.
    """
    return click.option(
        "-o", "--out", show_default=False, default=BUILD / where if where.islower() else None,
        type=_OutputPath(file_okay=file, dir_okay=not file, writable=True, path_type=Path),
        help=f"{text}  [default: {where} in the build folder, {_BUILD_FOLDER}]")
