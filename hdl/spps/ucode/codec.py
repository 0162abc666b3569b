"""Instruction words to operands and back, derived from `isa.OPS`.

>>> hex(encode("add", rd=1, ra=2, rb=3))
'0xc048c0000'
>>> decode(0xC_048C_0000)
Instruction(op='add', operands={'rd': 1, 'ra': 2, 'rb': 3})
"""
from typing import NamedTuple

from .isa import FORMATS, OPS_BY_CODE, OPS_BY_NAME, WORD_BITS

__all__ = ["Instruction", "encode", "decode", "operands_of", "operand_range"]

_OPCODE_LSB = 30


class Instruction(NamedTuple):
    """A decoded instruction: name, and operands by name."""

    op: str
    operands: dict


def operands_of(op):
    """Return the operands of the instruction named `op`, in the order of its syntax."""
    return FORMATS[OPS_BY_NAME[op].format].operands


def operand_range(operand):
    """(lowest, highest) value of an operand."""
    if operand.kind == "imm":
        return -(1 << operand.width - 1), (1 << operand.width - 1) - 1
    if operand.kind == "width":
        return 1, 1 << operand.width
    return 0, (1 << operand.width) - 1


def encode(op, **operands):
    """Return the 36-bit word of an instruction.

    Raises ValueError for an unknown name, a missing or extra operand, and a value out of range.
    """
    if op not in OPS_BY_NAME:
        raise ValueError(f"unknown instruction {op!r}")
    wanted = operands_of(op)
    if set(operands) != {o.name for o in wanted}:
        raise ValueError(f"{op} takes {', '.join(o.name for o in wanted) or 'no operands'}; "
                         f"got {', '.join(operands) or 'none'}")
    word = OPS_BY_NAME[op].code << _OPCODE_LSB
    for operand in wanted:
        value = operands[operand.name]
        low, high = operand_range(operand)
        if not low <= value <= high:
            raise ValueError(f"{operand.name} of {op} is {value}, expected {low}..{high}")
        word |= (value & (1 << operand.width) - 1) << operand.lsb
    return word


def decode(word):
    """Return the instruction in a word; bits that its format does not use are ignored. ValueError: unused opcode."""
    if not 0 <= word < 1 << WORD_BITS:
        raise ValueError(f"word {word:#x} is wider than {WORD_BITS} bits")
    op = OPS_BY_CODE.get(word >> _OPCODE_LSB)
    if op is None:
        raise ValueError(f"unused opcode {word >> _OPCODE_LSB:#x}")
    operands = {}
    for operand in FORMATS[op.format].operands:
        value = word >> operand.lsb & (1 << operand.width) - 1
        low, high = operand_range(operand)
        if value > high or (value < low and operand.kind == "width"):
            value += (1 << operand.width) * (1 if value < low else -1)
        operands[operand.name] = value
    return Instruction(op.name, operands)
