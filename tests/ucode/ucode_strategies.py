"""Hypothesis strategies shared by the tests of the microcode tools."""
from hypothesis import strategies as st

from spps.ucode.codec import operand_range, operands_of
from spps.ucode.isa import OPS

__all__ = ["instructions"]


@st.composite
def instructions(draw):
    op = draw(st.sampled_from(OPS))
    return op.name, {o.name: draw(st.integers(*operand_range(o))) for o in operands_of(op.name)}
