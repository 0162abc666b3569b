"""Payload in the scratchpad: what it says of a stored one, and what a reader asks for. Source: patent §II."""
from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = ["ScratchPage", "ScratchRead"]


class ScratchPage(data.Struct):
    """What the scratchpad says of a stored payload: first page, bytes it counted itself, ok = stored whole."""

    ref: unsigned(16)
    length: unsigned(16)
    ok: unsigned(1)


class ScratchRead(data.Struct):
    """Bytes of a stored payload to be read: `length` of the chain `ref`, after the first `skip`."""

    ref: unsigned(16)
    skip: unsigned(16)
    length: unsigned(16)
