r"""The assembler.

    >>> image = assemble('''
    ... .equ MAX 3
    ... .scratch out 4
    ... start:  ld   r1, EV.seq
    ...         ldf  r2, L.mss          ; packed: ld + ext
    ...         csr  r3, cfg.window
    ...         beqi r2, MAX, start
    ...         la   r4, hdr(OUTPUT, SOCKET, OUTPUT_BEATS)
    ...         st   SC.out, r4
    ...         eoe  r0, r0
    ... ''')
    >>> image.symbols["start"], len(image.words), image.where(0)
    (0, 9, '<text>:4: start:  ld   r1, EV.seq')

`README.md` of this folder describes the language.
"""
import os
import re
from pathlib import Path
from typing import NamedTuple

from .codec import encode, operand_range, operands_of
from .expression import (
    ExpressionError,
    Memory,
    Unresolved,
    evaluate,
    number,
    parse_operands,
    text_of,
)
from .image import Image
from .isa import (
    BASES,
    CSRS,
    FORMATS,
    OPS_BY_NAME,
    PC_BITS,
    REGISTERS,
    SCRATCH_WORDS,
    WORD_BITS,
)
from .preprocess import Preprocessor, SourceLine
from .pseudo import PSEUDO

__all__ = ["assemble", "AssemblerError"]

_LINE = re.compile(r"\s*(?:([A-Za-z_]\w*)\s*:)?\s*(?:(\.?[A-Za-z_]\w*)\b\s*(.*?))?\s*\Z")
_REGISTER = re.compile(r"r(\d+)\Z")


class AssemblerError(Exception):
    """All errors of an assembly. errors: list of "file:line: message, expected ..."."""

    def __init__(self, errors):
        super().__init__("\n".join(errors))
        self.errors = list(errors)


def assemble(source, defines=(), include_dirs=(), imem_words=1 << PC_BITS):
    """Assemble a file (Path, or a str ending in .uasm) or a text into an Image.

    defines: names ("NAME" or "NAME=value"), known to .ifdef and as constants. imem_words: instruction memory.
    Raises AssemblerError with every error found.
    """
    if isinstance(source, os.PathLike) or (source.endswith(".uasm") and "\n" not in source):
        path = Path(source)
        try:
            text = path.read_text(encoding="utf-8-sig")
        except OSError as error:
            raise AssemblerError([f"{path}:0: cannot read it: {error.strerror}, expected a source file"]) from None
        except UnicodeDecodeError:
            raise AssemblerError([f"{path}:0: cannot read it: no UTF-8 text, expected a source file"]) from None
        return _Assembler(defines, include_dirs, imem_words).run(path.name, text, path.parent, (path.resolve(),))
    return _Assembler(defines, include_dirs, imem_words).run("<text>", source, None, ())


class _Statement(NamedTuple):
    line: SourceLine
    name: str
    operands: list      # trees
    registers: dict     # .reg names valid here


class _Assembler:
    def __init__(self, defines, include_dirs, imem_words):
        self.errors = []            # (file, line, message)
        self.files = {}             # file -> how many came before it
        self.image = Image()
        self.imem_words = imem_words
        self.equ = {}               # name -> int, or tree not yet evaluated
        self.labels = {}            # name -> index of the statement that follows
        self.declared = {}          # name -> SourceLine, to report a second definition
        self.registers = {}
        self.scratch = 0
        self.statements = []
        self._evaluating = []
        for define in defines:
            name, _, value = define.partition("=")
            if name in self.equ:
                self.errors.append(("<command line>", 0, f"define `{name}` is given twice, expected it once"))
            try:
                self.equ[name] = int(value, 0) if value else 1
            except ValueError:
                self.errors.append(("<command line>", 0, f"define `{define}`, expected NAME or NAME=number"))
        self.include_dirs = include_dirs

    def report(self, line, message):
        self.errors.append((line.file, line.line, message))

    def run(self, name, text, directory, including):
        reader = Preprocessor(self.report, self.equ, self.include_dirs)
        for line in reader.lines(name, text, directory, including):
            self.files.setdefault(line.file, len(self.files))
            self.guarded(line, self.read, line)
        self.place()
        for statement, address, size in zip(self.statements, self.addresses, self.sizes):
            self.size = size
            self.guarded(statement.line, self.emit, statement, address)
        if len(self.image.words) > self.imem_words:
            over = self.image.source.get(self.imem_words, SourceLine(name, 0, ""))
            self.report(over, f"program of {len(self.image.words)} words is too long, "
                              f"expected at most {self.imem_words}")
        self.image.symbols = {label: self.addresses[index] for label, index in self.labels.items()}
        for constant in self.equ:
            self.guarded(self.declared.get(constant), self.resolve, constant)
        if self.errors:
            ordered = sorted(self.errors, key=lambda error: (self.files.get(error[0], -1), error[1]))
            raise AssemblerError(dict.fromkeys(f"{file}:{line}: {message}" for file, line, message in ordered))
        return self.image

    def guarded(self, line, action, *arguments):
        try:
            return action(*arguments)
        except ExpressionError as error:
            self.report(line, str(error))
        except RecursionError:
            self.report(line, "the expression has too many terms, expected a shorter one")

    # first pass: names and statements
    def read(self, line):
        match = _LINE.match(line.text)
        if not match:
            raise ExpressionError(f"cannot read `{line.text.strip()}`, expected [label:] [instruction operands]")
        label, name, rest = match.groups()
        if label:
            self.declare(label, line)
            self.labels[label] = len(self.statements)
        if not name:
            return
        if name in (".equ", ".scratch", ".reg"):
            self.define(name, rest, line)
        elif name in (".org", ".word") or name in OPS_BY_NAME or name in PSEUDO:
            self.statements.append(_Statement(line, name, parse_operands(rest), self.registers))
        elif name[0] == ".":
            raise ExpressionError(f"unknown directive {name}, expected .equ, .reg, .scratch, .org, .word, .include, "
                                  ".ifdef, .ifndef, .else, .endif, .macro or .endm")
        else:
            raise ExpressionError(f"unknown instruction `{name}`, expected an instruction, pseudo-instruction or macro")

    def declare(self, name, line):
        if name in self.declared or name in self.equ:
            place = self.declared[name].place if name in self.declared else "the command line"
            raise ExpressionError(f"`{name}` is defined twice, expected a new name (first at {place})")
        if name in BASES or (_REGISTER.match(name) and int(name[1:]) < REGISTERS):
            raise ExpressionError(f"`{name}` is reserved, expected another name")
        self.declared[name] = line

    def define(self, directive, rest, line):
        name, _, value = rest.partition(" ")
        if not re.match(r"[A-Za-z_]\w*\Z", name) or (directive != ".scratch" and not value.strip()):
            raise ExpressionError(f"{directive} `{rest}`, expected {directive} NAME "
                                  + {".equ": "expression", ".reg": "register", ".scratch": "[words]"}[directive])
        operands = parse_operands(value)
        if len(operands) > 1:
            raise ExpressionError(f"{directive} {name} has {len(operands)} values, expected 1")
        if directive == ".reg":
            register = self.register(operands[0], self.registers)
            self.registers = {**self.registers, name: register}     # statements keep the dict they saw
            return
        self.declare(name, line)
        if directive == ".equ":
            self.equ[name] = operands[0]
            return
        words = self.value(operands[0]) if operands else 1
        self.scratch += self.scratch & 1 if words > 1 else 0        # buffers are sent: even addresses
        self.equ[name] = self.scratch
        self.scratch += words
        if words < 1 or self.scratch > SCRATCH_WORDS:
            raise ExpressionError(
                f".scratch {name} of {words} words ends at {self.scratch}, expected 1..{SCRATCH_WORDS}")

    def only_value(self, statement):
        return self.value(*self.arity(statement, 1))

    def resolve(self, constant):
        self.image.constants[constant] = self.scope(constant)

    # second pass: addresses
    def place(self):
        self.addresses, self.sizes, address = [], [], 0
        for statement in self.statements:
            if statement.name == ".org":
                target = self.guarded(statement.line, self.only_value, statement)
                if target is not None and target < address:
                    self.report(statement.line, f".org {target:#x} goes back, expected at least {address:#x}")
                address = max(address, target or 0)
                if address > 1 << PC_BITS:
                    self.report(statement.line, f".org {address:#x}, expected at most {1 << PC_BITS:#x}")
                    address = 0
            self.addresses.append(address)
            self.sizes.append(PSEUDO[statement.name].size(self, statement) if statement.name in PSEUDO
                              else int(statement.name != ".org"))
            address += self.sizes[-1]
        self.addresses.append(address)

    # third pass: words
    def emit(self, statement, address):
        if statement.name == ".org":
            return
        if statement.name == ".word":
            words = [self.value(*self.arity(statement, 1))]
            if not 0 <= words[0] < 1 << WORD_BITS:
                raise ExpressionError(f".word {words[0]:#x}, expected {WORD_BITS} bits")
        elif statement.name in PSEUDO:
            words = PSEUDO[statement.name].words(self, statement)
        else:
            words = [self.instruction(statement)]
        missing = address + len(words) - len(self.image.words)
        self.image.words += [0] * missing
        for i, word in enumerate(words):
            self.image.words[address + i] = word
            self.image.source[address + i] = statement.line

    def instruction(self, statement):
        """Encode a real instruction; `more` of send may be left out."""
        trees, wanted = list(statement.operands), operands_of(statement.name)
        syntax = FORMATS[OPS_BY_NAME[statement.name].format].syntax
        values, slots = {}, [o for o in wanted if o.name != "offset"]
        if statement.name == "send" and len(trees) == 2:
            slots, values["more"] = slots[:-1], 0
        if len(trees) != len(slots):
            raise ExpressionError(f"{statement.name} has {len(trees)} operands, expected {syntax or 'none'}")
        joined = any(o.name == "offset" for o in wanted)
        for operand, tree in zip(slots, trees):
            if operand.kind == "base" and joined:
                memory = self.memory(tree)
                if memory.field and memory.field.width % 32:
                    use = {"ld": "ldf", "st": "stf"}.get(statement.name, "word()")
                    raise ExpressionError(
                        f"`{text_of(tree)}` is packed ({memory.field.width} bits at bit {memory.field.lsb}), "
                        f"expected {use}")
                values["base"] = BASES.index(memory.base)
                values["offset"] = self.ranged(wanted[wanted.index(operand) + 1], memory.word, tree)
            else:
                values[operand.name] = self.operand(operand, tree, statement.registers)
        return encode(statement.name, **values)

    # operands
    def arity(self, statement, count):
        if len(statement.operands) != count:
            raise ExpressionError(f"{statement.name} has {len(statement.operands)} operands, expected {count}")
        return statement.operands

    def operand(self, operand, tree, registers):
        if operand.kind == "reg":
            return self.register(tree, registers)
        if operand.kind == "base":
            if text_of(tree) not in BASES:
                raise ExpressionError(f"`{text_of(tree)}` is no base, expected {', '.join(BASES)}")
            return BASES.index(text_of(tree))
        if operand.kind == "csr":
            if text_of(tree) not in CSRS:
                raise ExpressionError(f"unknown CSR `{text_of(tree)}`, expected one of {', '.join(CSRS)}")
            return CSRS[text_of(tree)]
        if text_of(tree) in registers or self.is_register(tree):
            raise ExpressionError(
                f"`{text_of(tree)}` is a register, expected a {_KINDS[operand.kind]} for {operand.name}")
        value = self.value(tree)
        if operand.kind == "imm" and 1 << 31 <= value < 1 << 32:
            value -= 1 << 32        # 32-bit constants written unsigned
        return self.ranged(operand, value, tree)

    def ranged(self, operand, value, tree):
        low, high = operand_range(operand)
        if not low <= value <= high:
            hint = "; la loads 32 bits" if operand.width == 18 else ""
            raise ExpressionError(f"{operand.name} `{text_of(tree)}` is {value}, expected {low}..{high}{hint}")
        return value

    def is_register(self, tree):
        match = _REGISTER.match(text_of(tree))
        return bool(match) and int(match[1]) < REGISTERS

    def register(self, tree, registers):
        if text_of(tree) in registers:
            return registers[text_of(tree)]
        if not self.is_register(tree):
            raise ExpressionError(f"`{text_of(tree)}` is no register, expected r0..r{REGISTERS - 1} or a .reg name")
        return int(text_of(tree)[1:])

    def memory(self, tree):
        value = evaluate(tree, self.scope)
        if not isinstance(value, Memory):
            raise ExpressionError(f"`{text_of(tree)}` is no memory operand, expected base.offset, as L.snd_nxt or SC.3")
        return value

    def value(self, tree):
        return number(evaluate(tree, self.scope), getattr(tree.meta, "text", "the operand"))

    def scope(self, name):
        """Value of a constant or label; Unresolved for a label while addresses are not known."""
        if name in self.equ:
            if not isinstance(self.equ[name], int):
                if name in self._evaluating:
                    raise ExpressionError(f"`{name}` is defined by itself, expected no cycle")
                self._evaluating.append(name)
                try:
                    value = self.value(self.equ[name])
                finally:
                    self._evaluating.pop()
                self.equ[name] = value
            return self.equ[name]
        if name in self.labels:
            if len(getattr(self, "addresses", ())) != len(self.statements) + 1:
                raise Unresolved(f"`{name}` is a label, expected a constant here")
            return self.addresses[self.labels[name]]
        raise ExpressionError(f"undefined symbol `{name}`, expected a label, .equ, .scratch or define")


_KINDS = {"imm": "number", "uimm": "number", "width": "number", "bit": "bit number", "target": "label"}
