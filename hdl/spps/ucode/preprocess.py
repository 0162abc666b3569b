"""Text stage of the assembler: comments, .include, .ifdef, .macro; yields plain source lines."""
import re
from pathlib import Path
from typing import NamedTuple

__all__ = ["SourceLine", "Preprocessor"]

_DIRECTIVE = re.compile(r"\s*\.(\w+)\b\s*(.*)")
_NAME = re.compile(r"[A-Za-z_]\w*\Z")
_DEPTH = 16


class SourceLine(NamedTuple):
    """A line of a program, and where it stands."""

    file: str
    line: int
    text: str       # without comment, macros expanded

    @property
    def place(self):
        """File and line, as in error messages."""
        return f"{self.file}:{self.line}"


class _Macro(NamedTuple):
    parameters: tuple
    body: list


class Preprocessor:
    """Turns a file into SourceLines.

    report(line, message) collects an error. `defined` is what .ifdef asks: the assembler adds each .equ.
    """

    def __init__(self, report, defined, include_dirs):
        self.report = report
        self.defined = defined
        self.include_dirs = [Path(d) for d in include_dirs]
        self.macros = {}
        self._expansions = 0

    def lines(self, name, text, directory=None, _including=()):
        """Yield the lines of a source text called `name`; includes are looked up in `directory` first."""
        pending = []        # of .ifdef: [line, this branch is taken, else seen]
        macro = None        # (line, name, _Macro) being collected
        line = SourceLine(name, 0, "")
        for number, raw in enumerate(text.splitlines(), 1):
            line = SourceLine(name, number, raw.split(";", 1)[0].rstrip())
            match = _DIRECTIVE.match(line.text)
            word, rest = (match[1], match[2].strip()) if match else ("", "")
            if macro:
                if word == "endm":
                    self.macros[macro[1]] = macro[2]
                    macro = None
                else:
                    macro[2].body.append(line.text)
            elif word in ("ifdef", "ifndef", "else", "endif"):
                self._condition(line, word, rest, pending)
            elif not all(taken for _, taken, _ in pending):
                continue
            elif word == "macro":
                macro = self._start_macro(line, rest)
            elif word == "endm":
                self.report(line, ".endm without .macro, expected .macro NAME before it")
            elif word == "include":
                yield from self._include(line, rest, directory, _including)
            else:
                yield from self._expand(line)
        for start, _, _ in pending:
            self.report(start, "condition is not closed, expected .endif before the end of the file")
        if macro:
            self.report(macro[0], f"macro {macro[1]} is not closed, expected .endm before the end of the file")

    def _condition(self, line, word, rest, pending):
        if word in ("ifdef", "ifndef"):
            if not _NAME.match(rest):
                self.report(line, f".{word} `{rest}`, expected one name")
            pending.append([line, (rest in self.defined) == (word == "ifdef"), False])
        elif not pending:
            self.report(line, f".{word} without .ifdef, expected .ifdef NAME before it")
        elif word == "endif":
            pending.pop()
        elif pending[-1][2]:
            self.report(line, "second .else, expected .endif")
        else:
            pending[-1][1:] = [not pending[-1][1], True]

    def _start_macro(self, line, rest):
        name, _, parameters = rest.partition(" ")
        parameters = tuple(p.strip() for p in parameters.split(",")) if parameters.strip() else ()
        if not all(_NAME.match(n) for n in (name, *parameters)):
            self.report(line, f".macro `{rest}`, expected .macro NAME parameter, parameter")
        elif name in self.macros:
            self.report(line, f"macro {name} is defined twice, expected a new name")
        return line, name, _Macro(parameters, [])

    def _include(self, line, rest, directory, including):
        wanted = rest.strip('"')
        if not (rest.startswith('"') and rest.endswith('"') and wanted):
            self.report(line, f'.include `{rest}`, expected .include "file.uasm"')
            return
        for place in [*([Path(directory)] if directory else []), *self.include_dirs]:
            path = place / wanted
            if path.is_file():
                break
        else:
            self.report(line, f"cannot find {wanted}, expected it beside the source or in an include directory")
            return
        if path.resolve() in including:
            self.report(line, f"{wanted} includes itself, expected no recursion")
            return
        text = path.read_text(encoding="utf-8-sig")
        yield from self.lines(path.name, text, path.parent, (*including, path.resolve()))

    def _expand(self, line, depth=0):
        match = re.match(r"(\s*(?:[A-Za-z_]\w*:)?\s*)([A-Za-z_]\w*)\b(.*)", line.text)
        macro = self.macros.get(match[2]) if match else None
        if match is None or macro is None:
            yield line
            return
        arguments = _split(match[3])
        if len(arguments) != len(macro.parameters):
            self.report(line, f"macro {match[2]} got {len(arguments)} arguments, expected {len(macro.parameters)}"
                              f" ({', '.join(macro.parameters) or 'none'})")
            return
        if depth >= _DEPTH:
            self.report(line, f"macro {match[2]} is expanded in too many others, or in itself; expected "
                              f"at most {_DEPTH} levels")
            return
        if match[1].strip():
            yield line._replace(text=match[1].rstrip())
        self._expansions += 1
        values = {**dict(zip(macro.parameters, arguments)), "@": str(self._expansions)}
        for body in macro.body:
            text = re.sub(r"\\(\w+|@)", lambda m: values.get(m[1], m[0]), body)
            yield from self._expand(line._replace(text=text), depth + 1)


def _split(text):
    """Arguments at commas outside parentheses."""
    parts = re.findall(r"(?:[^,()]|\((?:[^()]|\([^()]*\))*\))+", text)
    return [p.strip() for p in parts if p.strip()]
