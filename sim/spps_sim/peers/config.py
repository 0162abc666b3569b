"""What a Python peer is told, and the states of its connections.

Source: RFC 9293 §3.3.2 (states).
"""
from dataclasses import dataclass
from enum import Enum

__all__ = ["State", "TcpConfig", "SYNCHRONIZED", "RECEIVING", "MASK", "unwrap"]

MASK = 0xFFFFFFFF


class State(Enum):
    """State of a connection (RFC 9293 §3.3.2); a listening port is no connection."""

    CLOSED = 0
    SYN_SENT = 2
    SYN_RECEIVED = 3
    ESTABLISHED = 4
    FIN_WAIT_1 = 5
    FIN_WAIT_2 = 6
    CLOSE_WAIT = 7
    CLOSING = 8
    LAST_ACK = 9
    TIME_WAIT = 10


SYNCHRONIZED = frozenset(State) - {State.CLOSED, State.SYN_SENT, State.SYN_RECEIVED}
#: data of the peer is still welcome
RECEIVING = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})


@dataclass
class TcpConfig:
    """Settings of the connections of a peer. Times are in cycles.

    Parameters
    ----------
    mss : int
        Announced, and never exceeded; bytes.
    window : int
        Receive buffer, bytes.
    wscale : int, optional
        Shift of the window scale option; None: not offered.
    rto_initial, rto_min, rto_max : int
        Retransmission timeout.
    msl : int
        Half of TIME-WAIT.
    retries : int
        Retransmissions of one segment before the connection is given up.
    initial_window : int
        Segments of the first flight.
    dup_acks : int
        Duplicate ACKs that start fast retransmit.
    sack : bool
        Offer SACK (RFC 2018). As in Linux, a sender with SACK takes everything below a SACKed byte for lost at once
        (RFC 8985 without a reordering window) and ignores duplicate ACKs without a block.
    timestamps : bool
        Offer timestamps (RFC 7323). Round-trip times are then taken from TSecr.
    stamp_cycles, stamp_base : int
        Period of the timestamp clock, and its first value: beyond 2^31, so that a comparison with 0 goes wrong.

    Raises
    ------
    ValueError
        When a value is out of range; the text names the value and the limits.
    """

    mss: int = 1460
    window: int = 65535
    wscale: "int | None" = None
    rto_initial: int = 40_000
    rto_min: int = 20_000
    rto_max: int = 1_000_000
    msl: int = 20_000
    retries: int = 12
    initial_window: int = 10
    dup_acks: int = 3
    sack: bool = False
    timestamps: bool = False
    stamp_cycles: int = 100
    stamp_base: int = 0x90000000

    def __post_init__(self):
        for name, low, high in (("mss", 64, 65495), ("window", 1, 1 << 30), ("initial_window", 1, 1000),
                                ("retries", 1, 100)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name}={getattr(self, name)}: must be from {low} to {high}")
        if self.wscale is not None and not 0 <= self.wscale <= 14:
            raise ValueError(f"wscale={self.wscale}: must be from 0 to 14, or None")


def unwrap(number, isn, near):
    """Return the offset of a 32-bit number from `isn` that is closest to offset `near`."""
    distance = (number - isn - near) & MASK
    return near + distance - ((distance & 0x80000000) << 1)
