"""Which instructions a set of runs executed, and which way each branch went."""
from .codec import decode
from .isa import OPS_BY_NAME

__all__ = ["Coverage"]


class Coverage:
    """Give it to `CoreIss(coverage=...)`; several cores and runs may share one."""

    def __init__(self, image):
        self.image = image
        self.executed = set()
        self.ways = {}          # address of a branch -> {True, False}

    def record(self, pc, taken):
        """taken: None for anything but a conditional branch."""
        self.executed.add(pc)
        if taken is not None:
            self.ways.setdefault(pc, set()).add(taken)

    def merge(self, other):
        """Adds what another Coverage of the same image saw."""
        self.executed |= other.executed
        for pc, ways in other.ways.items():
            self.ways.setdefault(pc, set()).update(ways)

    def points(self):
        """(address, what) to be covered: "executed", and "taken" and "not taken" of each branch."""
        for address in self.image.source:
            yield address, "executed"
            if _is_branch(self.image.words[address]):
                yield address, "taken"
                yield address, "not taken"

    def missing(self):
        """The points of `points` that were not seen; of an instruction never executed only that."""
        return [(address, what) for address, what in self.points()
                if not (address in self.executed if what == "executed"
                        else (what == "taken") in self.ways.get(address, ()) or address not in self.executed)]

    def ratio(self):
        """Covered part of all points, 0..1."""
        points = list(self.points())
        covered = sum(address in self.executed if what == "executed" else (what == "taken") in self.ways.get(address, ())
                      for address, what in points)
        return covered / len(points) if points else 1.0

    def report(self):
        """Text: one line per missing point, by source line, then the totals."""
        lines = [f"{self.image.where(address)}  [{address:03x}] never {what}" for address, what in self.missing()]
        done = sum(address in self.executed for address in self.image.source)
        lines.append(f"{done} of {len(self.image.source)} instructions, {100 * self.ratio():.1f} % of all points")
        return "\n".join(lines) + "\n"


def _is_branch(word):
    try:
        return OPS_BY_NAME[decode(word).op].format in ("brr", "bri", "bit")
    except ValueError:
        return False
