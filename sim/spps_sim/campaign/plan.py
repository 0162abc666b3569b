"""Which cases a campaign of crossed faults has: by seed, so many as are asked for, every state x failure x link fault.

First the settings are chosen (`settings`), each of them is run once without a failure (`shard.learn`), and what that
says is enough to choose the cases (`plan`).
"""
import random
from bisect import bisect_left
from dataclasses import dataclass
from itertools import zip_longest

from ..checker.states import STATES
from .case import Case
from .failures import FAILURES
from .variants import LINKS, VARIANTS, Setting

__all__ = ["SWEEP", "Phases", "failures_of", "links_of", "plan", "settings"]

#: share of the cases that sweep the plain connection over a sound link, at every cycle if they suffice
SWEEP = 0.4
#: share of the sweep that is spent on TIME-WAIT while there are too few cases for every cycle
RESTING = 0.1
#: failures of the sweep, in turn
SWEPT = ("freeze", "kill")
#: cases for which one more setting of a link is worth its run
PER_SETTING = 40
#: what the pair without RTL can do: it has no sync link and no registers
FAKE = ("nothing", "kill", "freeze")


def failures_of(preset):
    """Return the failures that a preset can have, by name."""
    return {name: failure for name, failure in FAILURES.items() if preset != "fake" or name in FAKE}


def links_of(preset):
    """Return the faults of the sync link that a preset can have, by name."""
    return {name: link for name, link in LINKS.items() if preset != "fake" or name == "none"}


@dataclass(frozen=True)
class Phases:
    """What a run without a failure says.

    Attributes
    ----------
    first, resting, last : int
        Cycle of the SYN, of the first TIME-WAIT, and of the end.
    intervals : dict
        "direction/state" -> list of (first cycle, first cycle after).
    """

    first: int
    resting: int
    last: int
    intervals: dict

    def to_json(self):
        """Return what from_json() takes."""
        return [self.first, self.resting, self.last, self.intervals]

    @classmethod
    def from_json(cls, said):
        """Return the Phases of what to_json() has returned."""
        return cls(*said)

    def at(self, cycle, direction):
        """Return the data states that are present in `cycle` for data of a direction, in order."""
        return [s for s in STATES if any(a <= cycle < b for a, b in self.intervals.get(f"{direction}/{s}", ()))]

    def pick(self, state, rng):
        """Return a cycle in which `state` is present; any cycle of the connection if it never is, or state is None."""
        spans = [(max(a, self.first), b) for d in (0, 1) for a, b in self.intervals.get(f"{d}/{state}", ())
                 if b > max(a, self.first)]
        if not spans:
            return rng.randrange(self.first, self.last)
        ends, total = [], 0
        for a, b in spans:
            total += b - a
            ends.append(total)
        at = rng.randrange(total)
        span = bisect_left(ends, at + 1)
        return spans[span][1] - (ends[span] - at)


def settings(cases, seed, preset="tiny"):
    """Return the settings of a campaign of so many cases: every link, and the variants in turn."""
    rng = random.Random(f"{seed}/settings")
    crossed, links = cases - int(cases * SWEEP), links_of(preset)
    count = max(1, min(crossed // (PER_SETTING * len(links)), 4 * len(VARIANTS)))
    chosen = {Setting("plain", "none", seed, preset)}
    for number, link in enumerate(links):
        variants = list(VARIANTS)
        rng.shuffle(variants)
        chosen |= {Setting(variants[(number + i) % len(variants)], link, seed + i // len(variants), preset)
                   for i in range(count)}
    return sorted(chosen)


def _sweep(phases, count):
    """Return `count` cycles of a connection in ascending order, every one of it if there are enough."""
    busy, rest = range(phases.first, phases.resting), range(phases.resting, phases.last)
    if count >= len(busy) + len(rest):
        return [*busy, *rest]
    resting = max(int(count * RESTING), count - len(busy))
    return [span[i * len(span) // n] for span, n in ((busy, count - resting), (rest, resting)) for i in range(n)]


def _combinations(preset, rng):
    """Return every (link, failure, state), in a random order in which the failures take turns.

    state None is any cycle; it is there as often as the failure weighs.
    """
    turns = []
    for name, failure in failures_of(preset).items():
        each = [(link, name, state) for link in links_of(preset) for state in (*STATES, *[None] * failure.weight)]
        rng.shuffle(each)
        turns.append(each)
    rng.shuffle(turns)
    return [one for round_of in zip_longest(*turns) for one in round_of if one is not None]


def plan(phases, cases, seed):
    """Return the cases, without two of one line.

    Parameters
    ----------
    phases : dict
        Setting -> Phases, of what settings() has returned.
    cases, seed : int
        Number of cases, and of the choice.
    """
    rng = random.Random(f"{seed}/plan")
    plain = next(s for s in phases if (s.variant, s.link, s.seed) == ("plain", "none", seed))
    chosen = {Case(plain, SWEPT[cycle % 2], cycle): None for cycle in _sweep(phases[plain], int(cases * SWEEP))}
    of_link = {link: [s for s in phases if s.link == link] for link in links_of(plain.preset)}
    turn = dict.fromkeys(of_link, 0)
    while len(chosen) < cases:
        for link, failure, state in _combinations(plain.preset, rng):
            if len(chosen) >= cases:
                break
            setting = of_link[link][turn[link] % len(of_link[link])]
            turn[link] += 1
            chosen.setdefault(Case(setting, failure, phases[setting].pick(state, rng)))
    return list(chosen)
