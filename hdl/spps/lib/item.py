"""A word of configuration or status of a block."""
from typing import NamedTuple

__all__ = ["Item"]


class Item(NamedTuple):
    """A word of configuration or status.

    name : of the member and of the register. width : bits. text : what it says, with its unit, for the register table.
    reset : what the register holds after a reset. pulse : each 1 written lasts for one clock.
    most : the highest value that a host may write; None: all that the bits hold.
    """

    name: str
    width: int
    text: str
    reset: int = 0
    pulse: bool = False
    most: int | None = None
