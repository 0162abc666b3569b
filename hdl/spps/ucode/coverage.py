"""Which instructions a set of runs executed, and which way each branch went.

Every simulated core notes what it does in `Image.seen`, one byte per address, so that all runs of one image in a
process add up.
"""
import re
from collections import Counter
from typing import NamedTuple

from .codec import decode
from .isa import OPS_BY_NAME

__all__ = ["Coverage", "Point", "SEEN", "Exemption", "read_exemptions"]

_EXECUTED, _TAKEN, _NOT_TAKEN = 1, 2, 4
#: bits for an executed instruction, by `taken`: None for anything but a conditional branch
SEEN = {None: _EXECUTED, True: _EXECUTED | _TAKEN, False: _EXECUTED | _NOT_TAKEN}
_BITS = {"executed": _EXECUTED, "taken": _TAKEN, "not taken": _NOT_TAKEN}


class Point(NamedTuple):
    """Something to be covered: of an instruction "executed", of a branch also "taken" and "not taken"."""

    address: int
    what: str


class Coverage:
    """What runs of `image` covered, for `CoreIss(coverage=...)`. seen: bytearray to go on with; default a fresh one."""

    def __init__(self, image, seen=None):
        self.image = image
        self.seen = bytearray(len(image.seen)) if seen is None else seen

    def merge(self, seen):
        """Add what other runs of the same image saw."""
        for address, bits in enumerate(seen):
            self.seen[address] |= bits

    def points(self):
        """Every Point of the image."""
        for address in self.image.source:
            yield Point(address, "executed")
            if _is_branch(self.image.words[address]):
                yield Point(address, "taken")
                yield Point(address, "not taken")

    def missing(self):
        """Return the points that were not seen; of an instruction never executed only that."""
        return [p for p in self.points() if not self.seen[p.address] & _BITS[p.what]
                and (p.what == "executed" or self.seen[p.address] & _EXECUTED)]

    def totals(self):
        """(instructions executed, instructions, branch directions gone, branch directions)."""
        found, all_ = Counter(), Counter()
        for p in self.points():
            ways = p.what != "executed"
            all_[ways] += 1
            found[ways] += bool(self.seen[p.address] & _BITS[p.what])
        return found[False], all_[False], found[True], all_[True]

    def report(self, exemptions=()):
        """Text lines: the totals, each missing point with its reason or without, each exemption that is not needed."""
        executed, instructions, ways, directions = self.totals()
        lines = [f"{executed} of {instructions} instructions executed, {ways} of {directions} branch directions gone"]
        explained, unexplained, idle = self.judge(exemptions)
        lines += [f"{self.image.where(p.address)}: never {p.what}: {e.reason}" for p, e in explained]
        lines += [f"{self.image.where(p.address)}: never {p.what}: NO REASON GIVEN; "
                  f"to give one:  {self.name(p)}: REASON" for p in unexplained]
        lines += [f"{e.place}: not needed, or no such line: {e.name}" for e in idle]
        return list(dict.fromkeys(lines))       # a pseudo-instruction is one line and several points

    def judge(self, exemptions):
        """([(point, exemption)], [points without one], [exemptions that no missing point needs])."""
        by_name = {e.name: e for e in exemptions}
        missing = [(p, by_name.get(self.name(p))) for p in self.missing()]
        used = {e.name for _, e in missing if e is not None}
        return ([(p, e) for p, e in missing if e is not None], [p for p, e in missing if e is None],
                [e for e in exemptions if e.name not in used])

    def name(self, point):
        """Return a point's name, which changes elsewhere in its file leave alone: file, label, source text, what."""
        line = self.image.source[point.address]
        label = self.image.label_at(point.address).split("+")[0]
        text = " ".join(re.sub(r"^\s*\w+:", "", line.text).split())
        return f"{line.file}: {label}: {text}: {point.what}"


class Exemption(NamedTuple):
    """Why a point cannot be covered. place: where that is written."""

    name: str
    reason: str
    place: str


def read_exemptions(path):
    """Return the exemptions of a file, a line each: `file: label: source text: what: reason`.

    Raises ValueError for any other line.
    """
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        parts = [part.strip() for part in line.split(": ", 4)]
        if len(parts) != 5 or parts[3] not in _BITS or not parts[4]:
            raise ValueError(f"{path.name}:{number}: expected `file: label: source text: {' | '.join(_BITS)}: reason`")
        found.append(Exemption(": ".join(parts[:4]), parts[4], f"{path.name}:{number}"))
    return found


def _is_branch(word):
    try:
        return OPS_BY_NAME[decode(word).op].format in ("brr", "bri", "bit")
    except ValueError:
        return False
