"""Flowstate: 128 words of 32 bits per connection, 16 lines of 8 words.

One connection carries both legs, so that a single record covers both and one core serves both (see
director/README.md). Hard state, which the standby cannot rebuild, fills whole lines; a sync record
is a copy of lines. Source: patent §III.B, §X.B.

A `Field` is (word, lsb, width). Shared fields are relative to the workspace (base WS), leg fields to
the leg block (bases L and P). The microcode assembler takes its names from here.
"""
from typing import NamedTuple

__all__ = ["Field", "LINE_WORDS", "FLOWSTATE_WORDS", "LEG_BASE", "LEG_STRIDE", "SHARED", "LEG",
           "LINES", "DELTA_LINES", "FULL_LINES", "ConnFlag"]

LINE_WORDS = 8
FLOWSTATE_WORDS = 128
LINES = FLOWSTATE_WORDS // LINE_WORDS
LEG_BASE = 16       # first word of leg 0
LEG_STRIDE = 48     # words from leg 0 to leg 1


class Field(NamedTuple):
    word: int
    lsb: int = 0
    width: int = 32


class ConnFlag:
    """Bits of SHARED['flags'] (hard)."""
    VALID = 0           # the connection exists
    PROTECTED = 1       # both legs known to the standby; outputs pass the ACK gate
    PROXIED = 2         # two legs; otherwise the one leg is an endpoint of our own application
    FIN_KNOWN_0 = 4     # the FIN of leg 0's peer has been received in order: its number is fin_seq_0
    FIN_KNOWN_1 = 5
    ABORTED = 6         # a RST ended it
    TIME_WAIT = 7       # both FINs acknowledged; waiting 2 MSL


SHARED = {
    # line 0: the delta record, hard
    "flags": Field(0),
    "snd_una_0": Field(1),      # leg 0: oldest unacknowledged number we sent = commitment of direction 1->0
    "snd_una_1": Field(2),      # leg 1: commitment of direction 0->1
    "fin_seq_0": Field(3),      # number of the FIN of leg 0's peer, with FIN_KNOWN_0
    "fin_seq_1": Field(4),
    "rcv_hint_0": Field(5),     # hint: RCV.NXT of leg 0 when the record was made
    "rcv_hint_1": Field(6),
    "epoch": Field(7),          # epoch of the unit that wrote this state; another epoch means: taken over
    # line 1: soft, of the connection
    "service": Field(8),        # endpoint mode: 7 echo, 9 discard
    "created": Field(9),        # tick of creation
    "deadline": Field(10),      # absolute tick of TIME-WAIT or withhold limit
    "misc": Field(11),
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
    "mss": Field(10, 0, 16),        # what we may send
    "snd_wscale": Field(10, 16, 8),
    "rcv_wscale": Field(10, 24, 8),
    "options": Field(11),
    # lines 2..5: soft
    "state": Field(16),
    "snd_nxt": Field(17),
    "snd_max": Field(18),
    "snd_wnd": Field(19),
    "snd_wl1": Field(20),
    "snd_wl2": Field(21),
    "rcv_nxt": Field(22),
    "last_ack": Field(23),          # last acknowledgement number sent
    "cwnd": Field(24),
    "ssthresh": Field(25),
    "rto": Field(26),
    "srtt": Field(27),
    "rttvar": Field(28),
    "rtt_seq": Field(29),
    "rtt_start": Field(30),
    "rtx_deadline": Field(31),      # tick, 0: not running
    "retries": Field(32),
    "dup_acks": Field(33),
    "recover": Field(34),
    "leg_flags": Field(35),
    "soft_0": Field(36), "soft_1": Field(37), "soft_2": Field(38), "soft_3": Field(39),
    "soft_4": Field(40), "soft_5": Field(41), "soft_6": Field(42), "soft_7": Field(43),
    "soft_8": Field(44), "soft_9": Field(45), "soft_10": Field(46), "soft_11": Field(47),
}

DELTA_LINES = (0,)
FULL_LINES = (0, 1, 2, 3, 8, 9)     # delta, shared, and address + constant lines of both legs
