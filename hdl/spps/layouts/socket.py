"""Commands to the socket memory controller, and places in socket memory. Source: patent §IV."""
from amaranth.hdl import unsigned
from amaranth.lib import data

__all__ = ["SOCKET_POOLS", "CopyArgument", "CopyHeader", "PoolBit", "ReleaseArgument", "SocketAddress", "SocketRead",
           "SocketRing"]

SOCKET_POOLS = 4


class PoolBit:
    """CSR pool_status: bit READY + p of pool p: a payload may be copied; bit OPEN + p: windows may grow."""

    READY = 0
    OPEN = SOCKET_POOLS


class SocketRing(data.Struct):
    """The buffer of one connection and direction in socket memory."""

    conn: unsigned(16)
    direction: unsigned(1)  # 0: bytes received on leg 0, to be sent on leg 1; 1: the other way
    pool: unsigned(2)       # whose pages it is made of
    spare: unsigned(13)


class SocketAddress(data.Struct):
    """A place in socket memory."""

    offset: unsigned(32)    # sequence number of the byte on the leg that sends it
    ring: SocketRing


class SocketRead(data.Struct):
    """Bytes of socket memory to be read."""

    address: SocketAddress
    length: unsigned(16)


class CopyHeader(data.Struct):
    """Argument of COPY."""

    keep: unsigned(1)       # another COPY of the same payload follows: its chain is not released
    spare: unsigned(31)


class CopyArgument(data.Struct):
    """Argument beat of COPY; the whole chain `ref` is released afterwards, unless CopyHeader.keep."""

    ref: unsigned(16)
    skip: unsigned(16)      # bytes of the payload to leave out
    length: unsigned(16)    # bytes to copy
    spare: unsigned(16)


class ReleaseArgument(data.Struct):
    """Argument of RELEASE."""

    ref: unsigned(16)
    refused: unsigned(1)    # there was no room in socket memory
    spare: unsigned(15)
