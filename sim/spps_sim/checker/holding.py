"""What the records of one reign say about one leg. Imports nothing from the RTL packages."""

__all__ = ["Holding"]


class Holding:
    """Commitments of a leg whose connection has a full record in this reign.

    Parameters
    ----------
    free : int
        Offset of what *we* sent up to which no confirmation is needed: it was committed while the connection was
        unprotected, and its ACK may still be under way.
    """

    def __init__(self, free):
        self.free = free
        self.stored = 0                 # highest commitment (offset) in a confirmed record
        self.life: int | None = None    # that of the standby which has confirmed a full record

    def confirm(self, offset, life):
        """Note a confirmed commitment; life: of the standby, if the record was a full one, else None."""
        self.stored = max(self.stored, offset)
        if life is not None:
            self.life = life

    def covers(self, offset):
        """Return whether `offset` may be acknowledged to the source while the pair depends on its standby."""
        return offset <= max(self.free, self.stored)
