"""Codes that have a counter each: the members of an enum carry the texts of their counters."""

__all__ = ["Counted", "CountedMember"]


class Counted(int):
    """Number of a member of an enum, with the text of its counter.

    Parameters
    ----------
    number : int
        The number.
    text : str
        What the counter counts.
    """

    def __new__(cls, number, text):
        """Return `number` as an integer that has `text`."""
        self = super().__new__(cls, number)
        self.text = text
        return self


class CountedMember:
    """What a member of an enum has whose values are Counted: `class Some(CountedMember, enum.Enum, shape=...)`."""

    name: str
    value: Counted

    @property
    def text(self):
        """What the counter of this member counts."""
        return self.value.text

    @property
    def counter(self):
        """Name of the counter of this member."""
        return self.name.lower()
