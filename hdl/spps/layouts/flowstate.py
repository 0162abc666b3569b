"""Flowstate: 128 words of 32 bits per connection, 16 lines of 8 words.

One connection carries both legs, so that a single record covers both and one core serves both (see
director/README.md). Hard state, which the standby cannot rebuild, fills whole lines; a sync record
is a copy of lines. Source: patent §III.B, §X.B.

A `Field` is (word, lsb, width). Shared fields are relative to the workspace (base WS), leg fields to
the leg block (bases L and P). The microcode assembler takes its names from here.
"""
from typing import NamedTuple

__all__ = ["Field", "LINE_WORDS", "LINE_BEATS", "FLOWSTATE_WORDS", "LEG_BASE", "LEG_STRIDE", "LEG_HARD_LINES",
           "LEG_HARD_BEATS", "EPOCH_BITS",
           "GAP_LISTS", "GAP_BLOCKS", "SHARED", "LEG", "LINES", "DELTA_LINES", "DELTA_BEATS",
           "DELTA_MASK", "FULL_LINES", "FULL_BEATS", "FULL_MASK", "ConnFlag", "Service"]

LINE_WORDS = 8
FLOWSTATE_WORDS = 128
LINES = FLOWSTATE_WORDS // LINE_WORDS
LEG_BASE = 16       # first word of leg 0
LEG_STRIDE = 48     # words from leg 0 to leg 1
LINE_BEATS = LINE_WORDS // 2        # 64-bit beats
LEG_HARD_LINES = 2  # first lines of a leg, which a full record holds
LEG_HARD_BEATS = LEG_HARD_LINES * LINE_BEATS
#: behind the legs, soft: of each leg a list of the blocks received out of order, left and right (reassembly.uasm)
GAP_LISTS = LEG_BASE + 2 * LEG_STRIDE
GAP_BLOCKS = 4


class Field(NamedTuple):
    """Place of a field: 32-bit word, least significant bit in it, width in bits."""

    word: int
    lsb: int = 0
    width: int = 32


class Service:
    """What an endpoint does: SHARED['service']; 0 of proxied connections."""

    ECHO = 1
    DISCARD = 2


class ConnFlag:
    """Bits of SHARED['flags'] (hard)."""

    VALID = 0           # the connection exists
    PROTECTED = 1       # both legs known to the standby; outputs pass the ACK gate
    PROXIED = 2         # two legs; otherwise the one leg is an endpoint of our own application
    FIN_KNOWN_0 = 4     # the FIN of leg 0's peer has been received in order: its number is fin_seq_0
    FIN_KNOWN_1 = 5
    ABORTED = 6         # a RST ended it
    TIME_WAIT = 7       # both FINs acknowledged; waiting 2 MSL
    PAUSED_0 = 8        # leg 0's peer is told a closed window: what it sends is held, and its destination takes nothing
    PAUSED_1 = 9
    ACK_SURE_0 = 10     # our FIN to leg 0's peer carried the ACK of its own: a peer that acknowledges ours has that ACK
    ACK_SURE_1 = 11


#: bits of CSR epoch that are the epoch; above them it counts the standbys that joined
EPOCH_BITS = 16

SHARED = {
    # line 0: the delta record, hard; the pairs of a leg lie as in the leg (snd_una, rcv_nxt), so that a record can be
    # sent from there
    "flags": Field(0),
    # CSR epoch at the last event: another epoch means taken over; other bits above EPOCH_BITS: a standby has joined
    "epoch": Field(1),
    "snd_una_0": Field(2),      # leg 0: oldest unacknowledged number we sent = commitment of direction 1->0
    "rcv_hint_0": Field(3),     # hint: RCV.NXT of leg 0 when the record was made
    "snd_una_1": Field(4),      # leg 1: commitment of direction 0->1
    "rcv_hint_1": Field(5),
    "fin_seq_0": Field(6),      # number of the FIN of leg 0's peer, with FIN_KNOWN_0
    "fin_seq_1": Field(7),
    # line 1: soft, of the connection
    "service": Field(8),        # Service of an endpoint
    # tick of the first challenge ACK of a series, without its low bits | their number (RFC 5961 §10)
    "challenges": Field(9),
    "deadline": Field(10),      # tick at which TIME-WAIT ends, before it that of the next keepalive round; 0: none
    "misc": Field(11),          # what is due, and READY: bits in ucode/programs/common.uasm
    # READY: headers of the messages that nearly every event sends, two words each
    "sync_header": Field(12),
    "sync_header_1": Field(13),
    "output_header": Field(14),
    "output_header_1": Field(15),
}
LEG = {
    # line 0 of a leg: addresses, hard, in the order of the OUTPUT message
    "mac_hi": Field(0, 0, 16),      # next hop
    "iface": Field(0, 16, 8),       # SPI-4 port of this leg
    "mac_lo": Field(1),
    "local_ip": Field(2),
    "remote_ip": Field(3),
    "local_port": Field(4, 0, 16),
    "remote_port": Field(4, 16, 16),
    # line 1 of a leg: constants of the connection, hard
    "iss": Field(8),
    "irs": Field(9),
    # payload we may put into a segment; room for a timestamp is taken off; smaller if the path MTU is
    "mss": Field(10, 0, 16),
    "snd_wscale": Field(10, 16, 8),
    "rcv_wscale": Field(10, 24, 8),
    "options": Field(11),           # OptionFlags in use
    # their upper half (soft): the largest window the peer has given, as in the segment
    "max_window": Field(11, 16, 16),
    "rcv_window": Field(12),        # receive window, bytes
    # lines 2..5: soft. Words 16, 17 go into records as they are; words 18..27 are the end of an OUTPUT message, as
    # they are: that of
    # an ACK with SND.NXT, as long as nothing is being retransmitted (retries is its length, 0)
    "snd_una": Field(16),           # SND.UNA as TCP sees it; snd_una_x of the connection is what has been recorded
    "rcv_nxt": Field(17),
    "snd_nxt": Field(18),
    "permitted_ack": Field(19),     # permitted acknowledgement number: what the other side has committed
    "ack_window": Field(20),        # window field of a segment without SYN, and the flag ACK
    "retries": Field(21),
    "snd_max": Field(22),
    "tx_ring": Field(23),           # SocketRing of what is sent on this leg
    "ts_val": Field(24),            # TSval of an ACK sent from here
    "ts_recent": Field(25),         # TS.Recent (RFC 7323 §4.3): what we echo
    "snd_wnd": Field(26),
    "rtx_deadline": Field(27),      # tick, 0: not running
    "snd_wl1": Field(28),
    "snd_end": Field(29),           # number after the last byte there is to send, without FIN
    "leg_flags": Field(30),
    "ts_mark": Field(31),           # when the permitted acknowledgement reaches it, ts_recent becomes ts_next
    "cwnd": Field(32),
    "ssthresh": Field(33),
    "rto": Field(34),
    "srtt": Field(35),
    "rttvar": Field(36),
    "rtt_seq": Field(37),
    "rtt_start": Field(38),         # when it was sent; data was last sent at most a round trip later (idle.uasm)
    "state": Field(39),
    "dup_acks": Field(40),
    "recover": Field(41),
    "right_edge": Field(42),        # right edge of the window we announced: never goes back
    "ts_next": Field(43),
    "sacked_left": Field(44),       # with SACKED: what the peer has beyond SND.UNA
    "sacked_right": Field(45),
    "cwnd_acc": Field(46),          # of the congestion module
    "high_rxt": Field(47),          # in fast recovery: number after what it has retransmitted
    # soft, but rarely written, in what the hard lines leave free
    # three words, the ranges the peer has behind the first: bytes from the one before to it << 16 | its length; 0: none
    "sack_next": Field(5),
    "sack_next_1": Field(6),
    "sack_next_2": Field(7),
    # from a takeover to its duplicate ACKs, when nothing is SACKed: RCV.NXT of the other unit at its last record
    "hint": Field(6),
    "cc_0": Field(13),              # of the congestion module, as cwnd_acc
    "cc_1": Field(14),
    "fin_kept": Field(15),          # number of a FIN that waits for RCV.NXT
}

# lines of a record, lowest first: the delta; and with it the other shared line and the address and constant lines of
# both legs
DELTA_LINES = (0,)
FULL_LINES = (*range(LEG_BASE // LINE_WORDS + LEG_HARD_LINES),
              *((LEG_BASE + LEG_STRIDE) // LINE_WORDS + n for n in range(LEG_HARD_LINES)))
DELTA_BEATS, FULL_BEATS = len(DELTA_LINES) * LINE_BEATS, len(FULL_LINES) * LINE_BEATS
#: bit n: line n
DELTA_MASK, FULL_MASK = sum(1 << line for line in DELTA_LINES), sum(1 << line for line in FULL_LINES)
