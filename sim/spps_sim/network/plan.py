"""What is drawn for transfers whose active unit or proxy dies in the middle, and how their progress is shown."""
import random
from typing import NamedTuple

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Plan", "plan_transfers", "transfer_progress"]

#: share of all bytes that has arrived at a kill: within these bounds, which are shared out among the kills
EARLIEST, LATEST = 0.2, 0.7


class Plan(NamedTuple):
    """seed; total : bytes of all connections, both ways; kill_bytes : how many of these have arrived at each kill."""

    seed: int
    total: int
    kill_bytes: tuple


def plan_transfers(seed, connections, size, console, kills=1):
    """Draw what is not given and say it.

    Parameters
    ----------
    seed : int, optional
        None draws one.
    connections, size : int
        Number of connections, and bytes each way of each.
    console : Console
        Where the seed is printed.
    kills : int
        How many.

    Returns
    -------
    Plan
    """
    seed = seed if seed is not None else random.SystemRandom().randrange(1 << 31)
    total = 2 * connections * size
    console.print(f"seed {seed} (repeat with --seed {seed}); {connections} connections, {size} bytes each way each")
    rng, part = random.Random(f"{seed}/kill"), (LATEST - EARLIEST) / kills
    shares = [EARLIEST + part * (n + rng.random()) for n in range(kills)]
    return Plan(seed, total, tuple(int(total * share) for share in shares))


def transfer_progress(console):
    """Return the rich Progress of a transfer."""
    return Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                    TimeElapsedColumn(), console=console)
