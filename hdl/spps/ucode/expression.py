"""Operands and expressions of the assembler: grammar and evaluation."""
from typing import NamedTuple

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput

from ..layouts.flowstate import Field
from .isa import BASES
from .names import BASE_FIELDS, CONSTANTS, ENUMS, STRUCTS, header_word

__all__ = ["ExpressionError", "Unresolved", "Memory", "parse_operands", "evaluate", "number", "text_of"]

_GRAMMAR = rf"""
start: operand ("," operand)*
?operand: MEMORY expr -> memory
        | expr
?expr: xor
     | expr "|" xor -> bitor
?xor: conj
    | xor "^" conj -> bitxor
?conj: shift
     | conj "&" shift -> bitand
?shift: sum
      | shift "<<" sum -> shl
      | shift ">>" sum -> shr
?sum: product
    | sum "+" product -> add
    | sum "-" product -> sub
?product: unary
        | product "*" unary -> mul
?unary: atom
      | "-" unary -> neg
      | "~" unary -> inv
?atom: NUMBER -> number
     | NAME -> name
     | DOTTED -> dotted
     | NAME "(" operand ("," operand)* ")" -> call
     | "(" expr ")"
MEMORY.3: /({"|".join(BASES)})\./
DOTTED.2: /[A-Za-z_]\w*\.[A-Za-z_]\w*/
NAME: /[A-Za-z_]\w*/
NUMBER: /0[xX][0-9a-fA-F_]+|0[bB][01_]+|[0-9][0-9_]*/
%ignore /[ \t]+/
"""
_PARSER = Lark(_GRAMMAR, parser="lalr", propagate_positions=True)
_BINARY = {
    "bitor": lambda a, b: a | b, "bitxor": lambda a, b: a ^ b, "bitand": lambda a, b: a & b,
    "shl": lambda a, b: a << b, "shr": lambda a, b: a >> b,
    "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
}
_FRIENDLY = {"NUMBER": "a number", "NAME": "a name", "DOTTED": "a name", "MEMORY": "base.offset", "LPAR": "`(`",
             "RPAR": "`)`", "COMMA": "`,`", "$END": "the end of the line", "MINUS": "`-`", "TILDE": "`~`"}


class ExpressionError(Exception):
    """What is wrong with an operand; the assembler adds file and line."""


class Unresolved(ExpressionError):
    """The expression uses a label whose address is not known yet."""


class Memory(NamedTuple):
    """A `base.offset` operand; field is None for a plain number."""

    base: str
    word: int
    field: Field | None


def parse_operands(text):
    """Return the operand trees of a comma-separated list; [] for an empty one. ExpressionError on a syntax error."""
    if not text.strip():
        return []
    try:
        return [_with_text(tree, text) for tree in _PARSER.parse(text).children]
    except UnexpectedInput as error:
        if isinstance(error, UnexpectedCharacters):
            expected = error.allowed
        else:
            expected = getattr(error, "accepts", None) or getattr(error, "expected", ())
        names = sorted({_FRIENDLY[t] for t in expected or () if t in _FRIENDLY}) or ["an operand"]
        at_end = getattr(getattr(error, "token", None), "type", "") == "$END"
        column = len(text) + 1 if at_end else error.column
        found = f"`{text[column - 1:column]}`" if column <= len(text) else "the end"
        raise ExpressionError(f"syntax error in `{text.strip()}` at {found}, expected {', '.join(names)}") from None


def _with_text(tree, text):
    tree.meta.text = text[tree.meta.start_pos:tree.meta.end_pos].strip()
    return tree


def text_of(tree):
    """Return the source text of a parsed operand."""
    return tree.meta.text


def number(value, what):
    """Return an int from a value of `evaluate`; a field means its word, which must be a full word."""
    if isinstance(value, Memory):
        raise ExpressionError(f"`{what}` is a memory operand, expected a number")
    if isinstance(value, Field):
        if value.width % 32:
            raise ExpressionError(
                f"`{what}` is packed ({describe(value)}), expected word({what}), lsb(), width() or bit()")
        return value.word
    return value


def describe(field):
    return f"word {field.word}, bits {field.lsb + field.width - 1}..{field.lsb}"


def evaluate(tree, scope, fields=None):
    """Return the value of a tree: int, Field or Memory.

    scope: function name -> int, raising ExpressionError or Unresolved. fields: names of a base, looked up first.
    """
    def term(sub):
        return number(evaluate(sub, scope, fields), _spelled(sub))

    if tree.data == "number":
        text = str(tree.children[0])
        return int(text, 0 if text[1:2].isalpha() else 10)
    if tree.data == "name":
        return _name(str(tree.children[0]), scope, fields)
    if tree.data == "dotted":
        return _dotted(str(tree.children[0]))
    if tree.data == "memory":
        return _memory(tree, scope)
    if tree.data == "call":
        return _call(tree, scope, fields)
    if tree.data == "neg":
        return -term(tree.children[0])
    if tree.data == "inv":
        return ~term(tree.children[0])
    if tree.data == "add":
        left, right = (evaluate(child, scope, fields) for child in tree.children)
        return _add(left, right, tree)
    left, right = (term(child) for child in tree.children)
    if tree.data in ("shl", "shr") and not 0 <= right <= 64:
        raise ExpressionError(f"shift by {right}, expected 0..64")
    return _BINARY[tree.data](left, right)


def _add(left, right, tree):
    """Return a field plus a number: the same field so many words on, as in SC.buffer + OutputBody.window."""
    if isinstance(left, Field) != isinstance(right, Field):
        field, words = (left, right) if isinstance(left, Field) else (right, left)
        return field._replace(word=field.word + number(words, _spelled(tree)))
    return sum(number(value, _spelled(child)) for value, child in zip((left, right), tree.children))


def _spelled(tree):
    return "".join(str(t) for t in tree.scan_values(lambda t: isinstance(t, Token)))


def _name(name, scope, fields):
    if fields and name in fields:
        return fields[name]
    if name in CONSTANTS:
        return CONSTANTS[name]
    return scope(name)


def _dotted(text):
    owner, member = text.split(".")
    for table in (ENUMS, STRUCTS):
        if owner in table:
            if member not in table[owner]:
                raise ExpressionError(f"unknown member `{text}`, expected one of {', '.join(map(str, table[owner]))}")
            return table[owner][member]
    raise ExpressionError(
        f"unknown name `{text}`, expected one of {', '.join([*BASES, *ENUMS, *STRUCTS])} before the dot")


def _memory(tree, scope):
    base, offset = str(tree.children[0])[:-1], tree.children[1]
    fields = BASE_FIELDS[base]

    def in_base(name):
        try:
            return scope(name)
        except Unresolved:
            raise
        except ExpressionError:
            if not fields:
                raise
            raise ExpressionError(f"unknown field `{base}.{name}`, expected one of {', '.join(fields)}") from None

    value = evaluate(offset, in_base, fields)
    if isinstance(value, Field):
        return Memory(base, value.word, value)
    return Memory(base, value, None)


def _call(tree, scope, fields):
    function, arguments = str(tree.children[0]), tree.children[1:]
    if function == "hdr":
        if len(arguments) != 3:
            raise ExpressionError(f"hdr takes 3 arguments, got {len(arguments)}; expected hdr(KIND, UNIT, beats)")
        kind, unit, beats = (number(_header_argument(a, enum, scope), _spelled(a))
                             for a, enum in zip(arguments, ("MessageKind", "Unit", None)))
        try:
            return header_word(kind, unit, beats)
        except ValueError as error:
            raise ExpressionError(str(error)) from None
    if function not in ("word", "lsb", "width", "bit", "mask"):
        raise ExpressionError(f"unknown function `{function}`, expected hdr, word, lsb, width, bit or mask")
    if len(arguments) != 1:
        raise ExpressionError(f"{function} takes 1 argument, got {len(arguments)}")
    value = evaluate(arguments[0], scope, fields)
    if isinstance(value, Memory):
        value = value.field
    if isinstance(value, Field):
        return {"word": value.word, "lsb": value.lsb, "bit": value.lsb, "width": value.width,
                "mask": (1 << value.width) - 1 << value.lsb}[function]
    if function != "bit" or value is None or value <= 0 or value & value - 1:
        wanted = "a field or a power of two" if function == "bit" else "a field"
        raise ExpressionError(f"argument of {function} is `{_spelled(arguments[0])}`, expected {wanted}")
    return value.bit_length() - 1


def _header_argument(tree, enum, scope):
    if enum and isinstance(tree, Tree) and tree.data == "name" and str(tree.children[0]) in ENUMS[enum]:
        return ENUMS[enum][str(tree.children[0])]
    return evaluate(tree, scope)
