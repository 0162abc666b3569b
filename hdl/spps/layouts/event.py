"""Events: what the splitter derives from a message, 16 words of 32 bits.

A core sees word i at event address i; fields are laid out least significant first inside a word.
Source: patent §II.A–B.
"""
from amaranth.hdl import unsigned
from amaranth.lib import data, enum

__all__ = ["EventKind", "TimerCause", "FlowKey", "Event", "EVENT_WORDS", "CheckFlag", "OptionFlag"]


class EventKind(enum.Enum, shape=8):
    """Event types (§II.B). The type indexes the table of compatible cores."""

    NONE = 0
    TCP = 1
    ARP = 2
    ICMP = 3
    UDP = 4
    FRAGMENT = 5
    ERROR = 6
    TIMER = 7
    APP = 8
    SYNC = 9
    HOST = 10
    ENCAPSULATED = 11


class TimerCause(enum.Enum, shape=8):
    """Subtype of a TIMER event."""

    DEADLINE = 0    # the deadline given at the last end of event has passed
    KICK = 1        # the walker visits every flow after a change of role
    RECYCLE = 2     # the lookup controller needs the place of a connection in TIME-WAIT


class OptionFlag(enum.IntFlag, shape=8):
    """Options present in the segment."""

    MSS = 1
    WSCALE = 2
    SACK_PERMITTED = 4
    TIMESTAMP = 8
    SACK = 16


class CheckFlag(enum.IntFlag, shape=8):
    """Stateless findings of the splitter that are no errors."""

    IP_OPTIONS = 1
    ECN = 2


class FlowKey(data.Struct):
    """116 bits: addresses, ports, protocol, receive interface (§III.A), as the remote end sends them."""

    src_ip: unsigned(32)
    dst_ip: unsigned(32)
    src_port: unsigned(16)
    dst_port: unsigned(16)
    protocol: unsigned(8)
    iface: unsigned(12)


class Event(data.Struct):
    """One event.

    The lookup controller fills `conn`, `leg`, `new` and `noflow`, the director `restart`, the splitter the rest.
    """

    # word 0
    kind: EventKind
    subtype: unsigned(8)    # TIMER: TimerCause; ICMP: code of an unreachable message; ARP: operation or ARP_RESOLVE
    iface: unsigned(8)
    checks: unsigned(8)
    # word 1
    conn: unsigned(16)      # local flow id
    leg: unsigned(1)        # 0 the leg whose SYN came first (client), 1 the other
    new: unsigned(1)        # the lookup controller has just created this flow
    noflow: unsigned(1)     # no flow is known: conn is meaningless, no workspace is loaded
    restart: unsigned(1)    # a core was lost with newer state of this flow: begin as after a takeover
    plain: unsigned(1)      # a TCP segment with ACK, perhaps PSH, no other flag, and no option but perhaps a timestamp
    stamped: unsigned(1)    # it has a timestamp
    filled: unsigned(1)     # it has payload
    again: unsigned(1)      # with `new`: a core sent this SYN back; `ack` is the lowest ISN it may be answered with
    spare_1: unsigned(8)
    # word 2..7
    # ICMP: key and sequence number of the quoted segment; the key as its destination would send it
    src_ip: unsigned(32)    # ARP: sender protocol address
    dst_ip: unsigned(32)    # ARP: target protocol address
    dst_port: unsigned(16)
    src_port: unsigned(16)
    seq: unsigned(32)
    ack: unsigned(32)
    window: unsigned(16)    # ICMP: total length of the quoted datagram
    tcp_flags: unsigned(8)  # CWR ECE URG ACK PSH RST SYN FIN, FIN is bit 0
    protocol: unsigned(8)   # IpProtocol of the segment, or of the quoted one; 0 of events that came in no IP datagram
    # word 8
    payload_len: unsigned(16)   # bytes of payload, checked against the scratchpad's own count
    scratch_ref: unsigned(16)   # first page of the payload; meaningful with payload_len > 0
    # word 9
    mss: unsigned(16)           # ICMP: next-hop MTU, 0 if the router does not say
    wscale: unsigned(8)         # at most 14
    options: unsigned(8)        # OptionFlag
    # word 10..15
    ts_val: unsigned(32)
    ts_ecr: unsigned(32)
    src_mac_hi: unsigned(16)
    spare_12: unsigned(16)
    src_mac_lo: unsigned(32)
    sack_left: unsigned(32)     # first SACK block; with `new` the lookup's keyed 32-bit hash of the flow key
    sack_right: unsigned(32)


EVENT_WORDS = Event.as_shape().size // 32
assert Event.as_shape().size == 512 and FlowKey.as_shape().size == 116
