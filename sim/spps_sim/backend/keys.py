"""Keys of sync frames for a pair under simulation."""
import random

__all__ = ["sync_keys"]


def sync_keys(seed, slot="a"):
    """Registers {name: value} that load a key, drawn by `seed`, into a slot, "a" or "b"."""
    rng = random.Random(f"{seed}/sync key {slot}")
    return {f"sync_key_{slot}{word}": rng.getrandbits(32) for word in range(4)}
