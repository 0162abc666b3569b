"""OUTPUT: a frame to be emitted. Source: patent §IV (output processor)."""
from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from .flowstate import LEG
from .message import BEAT
from .socket import SocketRing

__all__ = ["OUTPUT_ADDRESS_BEATS", "OUTPUT_BEATS", "OUTPUT_LIMIT", "SACK_BLOCKS", "OutputBody", "OutputFlag",
           "LEG_AS_SENT"]


class OutputFlag(enum.IntFlag, shape=16):
    """Low half of the argument of OUTPUT."""

    GATED = 1       # leave only when the standby has confirmed the last sync record issued before
    MSS = 2         # append an MSS option
    WSCALE = 4      # append a window scale option
    TIMESTAMP = 8
    ARP = 16        # an ARP packet instead of a TCP segment
    SACK_PERMITTED = 32
    SACK = 64


class OutputBody(data.Struct):
    """OUTPUT after the header: three beats copied from the leg's address line, then the segment.

    ARP packet: mac, local_ip (sender), remote_ip (target) and iface count, and `tcp_flags` is the ArpOperation; the
    rest is ignored. Other frames go to `mac` only while the neighbour table does not know their next hop; 0: to none.
    With OutputFlag.SACK further blocks may follow, a beat each as the last one here; the number of beats in the header
    says how many.
    """

    # beats 0..2 = words 0..5 of the leg's address line
    mac_hi: unsigned(16)
    iface: unsigned(8)
    spare_0: unsigned(8)
    mac_lo: unsigned(32)
    local_ip: unsigned(32)
    remote_ip: unsigned(32)
    local_port: unsigned(16)
    remote_port: unsigned(16)
    spare_5: unsigned(32)       # of the leg, no part of a frame
    # beats 3..7
    seq: unsigned(32)
    ack: unsigned(32)
    window: unsigned(16)        # as on the wire
    tcp_flags: unsigned(8)
    wscale: unsigned(8)
    length: unsigned(16)        # payload bytes
    mss: unsigned(16)
    spare_10: unsigned(32)
    ring: SocketRing            # where the payload is, from `seq` on; read when length > 0
    ts_val: unsigned(32)
    ts_ecr: unsigned(32)
    sack_left: unsigned(32)
    sack_right: unsigned(32)


OUTPUT_ADDRESS_BEATS = 3
OUTPUT_BEATS = OutputBody.as_shape().size // BEAT
SACK_BLOCKS = 4     # of a segment (RFC 2018 §3)
OUTPUT_LIMIT = OUTPUT_BEATS + SACK_BLOCKS - 1       # beats behind the header
assert OUTPUT_BEATS == 8

#: member of the body -> field of a leg whose word a program sends as it is: the address line, and the end of an ACK
#: with SND.NXT. `retries` stands for its length: it is 0 while nothing is retransmitted. Such an ACK has no SACK
#: blocks, so the last two words do not matter.
LEG_AS_SENT = {
    **{name: name for name in ("mac_hi", "iface", "mac_lo", "local_ip", "remote_ip", "local_port", "remote_port")},
    "seq": "snd_nxt", "ack": "permitted_ack", "window": "ack_window", "length": "retries", "ring": "tx_ring",
    "ts_val": "ts_val", "ts_ecr": "ts_recent",
}
_ADDRESS_BITS = OUTPUT_ADDRESS_BEATS * BEAT
for _member, _field in LEG_AS_SENT.items():
    _place = OutputBody.as_shape()[_member].offset
    _base = 0 if _place < _ADDRESS_BITS else 32 * LEG["snd_nxt"].word - _ADDRESS_BITS
    assert _base + _place == 32 * LEG[_field].word + LEG[_field].lsb, \
        f"OUTPUT.{_member} is not where a leg has {_field}"
