"""Pseudo-instructions: what the assembler expands into one or more real ones."""
from collections.abc import Callable
from typing import NamedTuple

from .codec import encode, operand_range, operands_of
from .expression import ExpressionError, Unresolved, text_of
from .isa import BASES

__all__ = ["Pseudo", "PSEUDO", "TEMPORARY"]

TEMPORARY = 15      # register that stf of a packed field overwrites


class Pseudo(NamedTuple):
    """A pseudo-instruction.

    size(assembler, statement) -> number of words, before labels are known. words(assembler, statement) -> encoded
    words.
    """

    syntax: str
    effect: str
    size: Callable
    words: Callable


def _registers(asm, statement, count, more):
    """Return the first `count` operands as registers, then the trees of the `more` others."""
    trees = asm.arity(statement, count + more)
    return [asm.register(t, statement.registers) for t in trees[:count]] + list(trees[count:])


def _size_of_field(full, packed, index):
    def size(asm, statement):
        try:
            return full if _is_full(asm.memory(statement.operands[index]), None) else packed
        except (ExpressionError, IndexError):
            return packed       # reported when the words are made
    return size


def _is_full(memory, tree):
    if memory.field is None:
        if tree is not None:
            raise ExpressionError(f"`{text_of(tree)}` is no field, expected a name of the layouts; use ld or st")
        return False
    return memory.field.width % 32 == 0


def _place(asm, tree, memory):
    offset = asm.ranged(operands_of("ld")[2], memory.word, tree)
    return {"base": BASES.index(memory.base), "offset": offset}


def _ldf(asm, statement):
    rd, tree = _registers(asm, statement, 1, 1)
    memory = asm.memory(tree)
    load = encode("ld", rd=rd, **_place(asm, tree, memory))
    if _is_full(memory, tree):
        return [load]
    return [load, encode("ext", rd=rd, ra=rd, pos=memory.field.lsb, width=memory.field.width)]


def _stf(asm, statement):
    tree, source = asm.arity(statement, 2)
    rb, memory = asm.register(source, statement.registers), asm.memory(tree)
    place = _place(asm, tree, memory)
    if _is_full(memory, tree):
        return [encode("st", rb=rb, **place)]
    if rb == TEMPORARY:
        raise ExpressionError(f"stf of a packed field overwrites r{TEMPORARY}, expected another register than r{rb}")
    return [encode("ld", rd=TEMPORARY, **place),
            encode("ins", rd=TEMPORARY, ra=TEMPORARY, rb=rb, pos=memory.field.lsb, width=memory.field.width),
            encode("st", rb=TEMPORARY, **place)]


def _fits(value):
    low, high = operand_range(operands_of("li")[1])
    return low <= value <= high


def _constant(value):
    if not -(1 << 31) <= value < 1 << 32:
        raise ExpressionError(f"constant {value:#x}, expected 32 bits")
    return value - (1 << 32) if value >= 1 << 31 else value


def _la_size(asm, statement):
    try:
        return 1 if _fits(_constant(asm.value(statement.operands[1]))) else 2
    except Unresolved:
        return 2                # a label: its address is not known yet
    except (ExpressionError, IndexError):
        return 1


def _la(asm, statement):
    rd, tree = _registers(asm, statement, 1, 1)
    value = _constant(asm.value(tree))
    if asm.size == 1:
        return [encode("li", rd=rd, imm=value)]
    return [encode("li", rd=rd, imm=value & 0xFFFF), encode("lih", rd=rd, ra=rd, imm=value >> 16 & 0xFFFF)]


def _alias(syntax, effect, *expansion):
    """Return a pseudo-instruction that is a fixed sequence; `expansion` names operands of `syntax` or numbers."""
    names = syntax.split(", ") if syntax else []

    def words(asm, statement):
        trees = dict(zip(names, asm.arity(statement, len(names))))
        result = []
        for op, *arguments in expansion:
            values = {}
            for operand, argument in zip(operands_of(op), arguments):
                if isinstance(argument, int):
                    values[operand.name] = argument
                elif argument.startswith("-"):
                    tree = trees[argument[1:]]
                    values[operand.name] = asm.ranged(operand, -asm.value(tree), tree)
                else:
                    values[operand.name] = asm.operand(operand, trees[argument], statement.registers)
            result.append(encode(op, **values))
        return result

    return Pseudo(syntax, effect, lambda asm, statement: len(expansion), words)


PSEUDO = {
    "ldf": Pseudo("rd, base.field", "rd = field: ld, then ext unless the field is a full word",
                  _size_of_field(1, 2, 1), _ldf),
    "stf": Pseudo("base.field, rb", f"field = rb: st, or ld, ins, st through r{TEMPORARY} for a packed field",
                  _size_of_field(1, 3, 0), _stf),
    "la": Pseudo("rd, const32", "rd = any 32-bit constant or label: li, then lih if it does not fit", _la_size, _la),
    "mov": _alias("rd, ra", "rd = ra", ("addi", "rd", "ra", 0)),
    "nop": _alias("", "nothing", ("addi", 0, 0, 0)),
    "not": _alias("rd, ra", "rd = ~ra", ("sub", "rd", 0, "ra"), ("addi", "rd", "rd", -1)),
    "neg": _alias("rd, ra", "rd = -ra", ("sub", "rd", 0, "ra")),
    "subi": _alias("rd, ra, imm", "rd = ra - imm", ("addi", "rd", "ra", "-imm")),
    "bsle": _alias("ra, rb, target", "if ra is before or at rb (sequence): pc = target",
                   ("bsge", "rb", "ra", "target")),
    "bsgt": _alias("ra, rb, target", "if ra is after rb (sequence): pc = target", ("bslt", "rb", "ra", "target")),
    "bleu": _alias("ra, rb, target", "if ra <= rb unsigned: pc = target", ("bgeu", "rb", "ra", "target")),
    "bgtu": _alias("ra, rb, target", "if ra > rb unsigned: pc = target", ("bltu", "rb", "ra", "target")),
    "beqz": _alias("ra, target", "if ra == 0: pc = target", ("beqi", "ra", 0, "target")),
    "bnez": _alias("ra, target", "if ra != 0: pc = target", ("bnei", "ra", 0, "target")),
}
