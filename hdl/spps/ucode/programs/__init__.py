"""The microcode programs. `main.uasm` is what a core runs unless another image is loaded."""
from functools import cache
from pathlib import Path

from ...params import SppsParams
from ..asm import assemble

__all__ = ["MAIN", "COVERAGE_EXEMPTIONS", "default_image"]

MAIN = Path(__file__).parent / "main.uasm"
COVERAGE_EXEMPTIONS = MAIN.with_name("coverage_exemptions.txt")


@cache
def _image(defines, imem_words):
    return assemble(MAIN, defines=defines, imem_words=imem_words)


def default_image(defines=(), imem_words=SppsParams.imem_words):
    """The assembled Image of main.uasm. defines: names for `.ifdef`, as the BROKEN_ variants for tests of the monitor."""
    return _image(tuple(defines), imem_words)
