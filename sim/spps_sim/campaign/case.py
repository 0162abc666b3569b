"""One case of a campaign of crossed faults, and the line of text that names it."""
import random
import re
from dataclasses import dataclass

from .failures import FAILURES
from .variants import Setting

__all__ = ["Case"]

FORM = "VARIANT:FAILURE:LINK:SEED:CYCLE"


@dataclass(frozen=True, order=True)
class Case:
    """What happens when: the run of a Setting up to a cycle, and the failure that begins there.

    Parameters
    ----------
    setting : Setting
        Of the run.
    failure : str
        Key of FAILURES.
    cycle : int
        When the failure begins.

    Raises
    ------
    ValueError
        When `failure` is none of these.
    """

    setting: Setting
    failure: str
    cycle: int

    def __post_init__(self):
        if self.failure not in FAILURES:
            raise ValueError(f"failure {self.failure!r}: expected one of {', '.join(FAILURES)}")

    @property
    def line(self):
        """The text that names the case, FORM; it does not name the preset."""
        return f"{self.setting.variant}:{self.failure}:{self.setting.link}:{self.setting.seed}:{self.cycle}"

    @classmethod
    def parse(cls, line, preset="tiny"):
        """Return the case of a line. Raises ValueError saying what was expected."""
        found = re.fullmatch(r"(\w+):(\w+):(\w+):(\d+):(\d+)", line)
        if not found:
            raise ValueError(f"{line!r}: expected a cycle or a case, {FORM}")
        variant, failure, link, seed, cycle = found.groups()
        return cls(Setting(variant, link, int(seed), preset), failure, int(cycle))

    def random(self):
        """Return the generator of all that the case leaves to chance."""
        return random.Random(f"case/{self.line}")
