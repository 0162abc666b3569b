"""The microcode programs. `main.uasm` is what a core runs unless another image is loaded."""
from functools import cache
from pathlib import Path

from ...params import SppsParams
from ..asm import assemble

__all__ = ["MAIN", "COVERAGE_EXEMPTIONS", "default_image"]

FEW_CONNECTIONS = 256      # local ports keep so many apart unless MANY_CONNECTIONS says otherwise
MAIN = Path(__file__).parent / "main.uasm"
COVERAGE_EXEMPTIONS = MAIN.with_name("coverage_exemptions.txt")


@cache
def _image(defines, imem_words):
    return assemble(MAIN, defines=defines, imem_words=imem_words)


def default_image(defines=(), imem_words=SppsParams.imem_words, connections=SppsParams.connections):
    """Return the assembled Image of main.uasm.

    defines: names for `.ifdef`, as CUBIC, or the BROKEN_ variants with which tests show that the monitor finds errors.
    """
    many = ("MANY_CONNECTIONS",) if connections > FEW_CONNECTIONS else ()
    return _image((*defines, *many), imem_words)
