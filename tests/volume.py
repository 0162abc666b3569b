"""How much a test does: enough in `make test`, more in `make long`."""
import os

__all__ = ["volume"]


def volume(usual, long):
    """Return `usual`, or `long` where SPPS_LONG is set, as by `make long`."""
    return long if os.environ.get("SPPS_LONG") else usual
