"""What is drawn for transfers whose active unit or proxy dies in the middle, and how their progress is shown."""
import random
from typing import NamedTuple

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

__all__ = ["Plan", "plan_transfers", "transfer_progress"]

#: share of all bytes that has arrived at the kill
EARLIEST, LATEST = 0.2, 0.7


class Plan(NamedTuple):
    """seed; total : bytes of all connections, both ways; kill_bytes : how many of these have arrived at the kill."""

    seed: int
    total: int
    kill_bytes: int


def plan_transfers(seed, connections, size, console):
    """Draw what is not given and say it.

    Parameters
    ----------
    seed : int, optional
        None draws one.
    connections, size : int
        Number of connections, and bytes each way of each.
    console : Console
        Where the seed is printed.

    Returns
    -------
    Plan
    """
    seed = seed if seed is not None else random.SystemRandom().randrange(1 << 31)
    total = 2 * connections * size
    console.print(f"seed {seed} (repeat with --seed {seed}); {connections} connections, {size} bytes each way each")
    return Plan(seed, total, int(total * random.Random(f"{seed}/kill").uniform(EARLIEST, LATEST)))


def transfer_progress(console):
    """Return the rich Progress of a transfer."""
    return Progress(TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"),
                    TimeElapsedColumn(), console=console)
