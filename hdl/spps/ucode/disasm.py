"""Instruction words to source text that assembles to the same words."""
from ..layouts.flowstate import Field
from .codec import decode
from .isa import BASES, CSRS, FORMATS, OPS_BY_NAME
from .names import BASE_FIELDS

__all__ = ["disassemble", "disassemble_image"]

_CSR_NAMES = {number: name for name, number in CSRS.items()}
_FIELD_NAMES = {base: {f.word: name for name, f in reversed(fields.items()) if f == Field(f.word)}
                for base, fields in BASE_FIELDS.items()}


def disassemble(word, labels=None):
    """Return the text of a word, `.word` for one that no instruction encodes to. labels: address -> name."""
    try:
        op, values = decode(word)
        operands = FORMATS[OPS_BY_NAME[op].format].operands
        if any(values["base"] >= len(BASES) for o in operands if o.kind == "base"):
            return f".word {word:#x}"
        if any(o.kind == "csr" and values[o.name] not in _CSR_NAMES for o in operands):
            return f".word {word:#x}"
    except ValueError:
        return f".word {word:#x}"
    used = OPS_BY_NAME[op].code << 30
    texts, joined = [], any(o.name == "offset" for o in operands)
    for operand in operands:
        value = values[operand.name]
        used |= (value & (1 << operand.width) - 1) << operand.lsb
        if operand.kind == "base":
            texts.append(BASES[value] + (f".{_offset(BASES[value], values['offset'])}" if joined else ""))
        elif operand.name != "offset":
            texts.append(_text(operand.kind, value, labels or {}))
    if used != word:
        return f".word {word:#x}"       # bits outside the format are set
    return f"{op:<5} {', '.join(texts)}".rstrip()


def _offset(base, word):
    return _FIELD_NAMES[base].get(word, word)


def _text(kind, value, labels):
    if kind == "reg":
        return f"r{value}"
    if kind == "csr":
        return _CSR_NAMES[value]
    if kind == "target":
        return labels.get(value, f"{value:#x}")
    return str(value)


def disassemble_image(words, symbols=None):
    """Source text of a whole program; targets are the labels of `symbols` (name -> address) where there are any."""
    labels = {address: name for name, address in reversed((symbols or {}).items())}
    lines = []
    for address, word in enumerate(words):
        if address in labels:
            lines.append(f"{labels[address]}:")
        lines.append(f"        {disassemble(word, labels):<40}; {address:03x} {word:09x}")
    return "\n".join(lines) + "\n"
