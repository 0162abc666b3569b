"""One broken invariant."""
from dataclasses import dataclass

__all__ = ["Violation"]


@dataclass
class Violation:
    """One broken invariant."""

    invariant: str      # "I0" to "I8"
    time: int           # ns
    text: str

    def __str__(self):
        return f"{self.invariant} at {self.time} ns: {self.text}"
