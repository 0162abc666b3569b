"""The verdict of the monitor."""
from collections import Counter
from dataclasses import dataclass, field

from .violation import Violation

__all__ = ["Report"]


@dataclass
class Report:
    """Verdict on a capture."""

    violations: list = field(default_factory=list)      # Violation, in order of time
    checks: Counter = field(default_factory=Counter)    # how often each invariant was judged
    connections: int = 0                                # SYNs of clients that began a connection
    takeovers: list = field(default_factory=list)       # times (ns) of the first emission of a new unit

    @property
    def ok(self):
        """Whether nothing is broken; look at `checks` too, for an empty capture breaks nothing."""
        return not self.violations

    def fail(self, invariant, time, text):
        """Add a violation."""
        self.violations.append(Violation(invariant, time, text))
