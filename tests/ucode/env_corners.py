"""What the tests of unusual segments share."""
from spps.layouts.flowstate import SHARED

__all__ = ["FLAGS", "WINDOW", "alive"]

WINDOW = 8192
FLAGS = SHARED["flags"].word


def alive(hands):
    """The connection still carries a byte each way."""
    up, down = hands.up(1), hands.down(1)
    return sum(len(s.payload) for s in up) >= 1 and sum(len(s.payload) for s in down) >= 1
