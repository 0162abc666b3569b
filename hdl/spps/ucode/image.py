"""An assembled program: words, symbols, and where each word came from."""
import json
from dataclasses import dataclass, field

from .isa import PC_BITS

__all__ = ["Image"]


@dataclass
class Image:
    """words: list of 36-bit ints from address 0. source: address -> SourceLine. symbols: label -> address.

    constants: .equ and .scratch names -> value. seen: what every simulated core of this process did at each address
    (coverage.Seen).
    """

    words: list = field(default_factory=list)
    source: dict = field(default_factory=dict)
    symbols: dict = field(default_factory=dict)
    constants: dict = field(default_factory=dict)
    seen: bytearray = field(default_factory=lambda: bytearray(1 << PC_BITS), repr=False, compare=False)

    def where(self, address):
        """"file:line: text" of an address, or "" if nothing was assembled there."""
        line = self.source.get(address)
        return f"{line.file}:{line.line}: {line.text.strip()}" if line else ""

    def label_at(self, address):
        """Return the nearest label at or before an address, as "label+n"."""
        below = [(a, name) for name, a in self.symbols.items() if a <= address]
        if not below:
            return f"{address:#05x}"
        start, name = max(below)
        return name if start == address else f"{name}+{address - start}"

    def listing(self):
        """One line per word: address, word in 9 hex digits, place, source text; labels on lines of their own."""
        at = {}
        for name, address in self.symbols.items():
            at.setdefault(address, []).append(name)
        lines, previous = [], None
        for address, word in enumerate(self.words):
            lines += [f"{name}:" for name in at.get(address, ())]
            source = self.source.get(address)
            text = f"{source.file}:{source.line}".ljust(24) + source.text.strip() if source else ""
            lines.append(f"{address:03x}  {word:09x}  {text if source != previous else ''}".rstrip())
            previous = source
        lines += [f"{name}:" for address, names in at.items() if address >= len(self.words) for name in names]
        return "\n".join(lines) + "\n"

    def hex(self):
        """Return the words, one of 9 hex digits per line."""
        return "".join(f"{word:09x}\n" for word in self.words)

    def symbol_map(self):
        """JSON: labels, constants, and file and line of each address."""
        return json.dumps({
            "labels": self.symbols,
            "constants": self.constants,
            "lines": {str(a): [line.file, line.line] for a, line in self.source.items()},
        }, indent=1) + "\n"
