"""What a test knows of one ring of socket memory."""
from tests.socket.sizes import params

__all__ = ["SPAN", "Ring"]

SPAN = 1 << 32      # offsets count modulo this


class Ring:
    """Live bytes are released..head; place: connection, direction, pool."""

    def __init__(self, rng, conn, direction):
        self.place = conn, direction, rng.choice([pool for pool, count in enumerate(params().pool_pages) if count])
        self.head = self.released = rng.choice((SPAN - 700, SPAN // 2 - 500, rng.randrange(SPAN)))
