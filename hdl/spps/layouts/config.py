"""Configuration and status words that microcode reads as CSRs and the host reads and writes as registers.

Defined once: MMC makes the registers, the cluster the CSRs, the assembler the names (`cfg.NAME`), the
documentation the table.
"""
from typing import NamedTuple

from amaranth.lib import data

__all__ = ["Config", "CONFIG", "CONFIG_INDEX", "CONFIG_DIRECT", "CONFIG_BITS", "ConfigWord"]


class Config(NamedTuple):
    """A configuration word: name, reset value, text for the register table, the least and most that a host may write.

    `most` may be the name of a parameter of the unit.
    """

    name: str
    reset: int
    doc: str
    secret: bool = False    # a key, which tools do not show
    least: int = 0
    most: int | str = 0xFFFFFFFF


#: the longest time in ticks: a deadline twice as far ahead, as of 2 MSL, is still ahead modulo 2^32
TICKS = (1 << 30) - 1
PORT = 65535

CONFIG = (
    Config("mode", 0, "bit 0: 0 endpoint (echo_port, discard_port), 1 proxy"),
    Config("vip_0", 0, "our IPv4 address on port 0 (client side)"),
    Config("vip_1", 0, "our IPv4 address on port 1 (server side)"),
    Config("server_ip", 0, "where the proxy connects to; the TCP port is the client's unless server_port is set"),
    Config("server_port", 0, "0: the client's destination port", most=PORT),
    Config("server_mac_hi", 0, "MAC address of the next hop on port 1 until ARP tells it, bytes 0..1; all 0: none"),
    Config("server_mac_lo", 0, "bytes 2..5"),
    Config("mac_hi", 0x0200, "our (virtual) MAC address, bytes 0..1; both SPPS of a pair use the same"),
    Config("mac_lo", 0x5E5D5001, "our MAC address, bytes 2..5"),
    Config("listen_first", 1, "lowest TCP port the proxy listens on", most=PORT),
    Config("listen_last", 65535, "highest TCP port the proxy listens on", most=PORT),
    Config("mss", 1460, "MSS we announce"),
    Config("rcv_wscale", 0, "window scale we announce", most=14),
    Config("window", 8192, "receive buffer of a direction, bytes", most="socket_bytes"),
    Config("initial_window", 10, "initial congestion window in segments (RFC 6928)", least=1, most=63),
    Config("rto_initial", 1000, "ticks", least=1, most=TICKS),
    Config("rto_min", 200, "ticks", least=1, most=TICKS),
    Config("rto_max", 60000, "ticks", least=1, most=TICKS),
    Config("syn_retries", 5, "SYN or SYN-ACK retransmissions before giving up"),
    Config("retries", 12, "data retransmissions before giving up (R2)"),
    Config("msl", 1000, "ticks; TIME-WAIT lasts twice as long", most=TICKS),
    Config("secret", 0x5EC2E7A5, "key of ISNs, low word", secret=True),
    Config("takeover_acks", 4, "duplicate ACKs sent to each peer at takeover"),
    Config("secret_high", 0xA409382B, "high word", secret=True),
    Config("keepalive", 7_200_000, "ticks without data after which both peers are probed (RFC 9293 §3.8.4), and again "
                                   "as long as they answer; 0: never; a new value counts for a connection from its "
                                   "next event on", most=TICKS),
    Config("pools", 0, "pool of socket memory: bits 1:0 of proxied connections, 3:2 of endpoints; "
                       "must not change while connections are open"),
    Config("echo_port", 7, "TCP port of echo in endpoint mode (RFC 862); above 65535: none"),
    Config("discard_port", 9, "TCP port of discard in endpoint mode (RFC 863); above 65535: none"),
    Config("challenge_limit", 10, "challenge ACKs of a connection in rto_initial ticks (RFC 5961 §10)", most=15),
    Config("pmtu_min", 576, "smallest path MTU that an ICMP message sets, bytes of a datagram; less than 68 is 68 "
                            "(RFC 1191)"),
    Config("keepalive_interval", 75_000, "ticks from a keepalive probe that is not answered to the next", least=1,
           most=TICKS),
    Config("keepalive_probes", 9, "keepalive probes without an answer before a connection is ended with RST to both",
           least=1),
    Config("idle_limit", 0, "ticks without data after which a connection is ended with RST to both, although its peers "
                            "answer; 0: none; a new value counts for a connection from its next event on", most=TICKS),
)
CONFIG_INDEX = {c.name: i for i, c in enumerate(CONFIG)}
#: words that other blocks than the cores need at all times
CONFIG_DIRECT = ("vip_0", "vip_1", "mac_hi", "mac_lo")
CONFIG_BITS = 6
assert len(CONFIG) <= 1 << CONFIG_BITS


class ConfigWord(data.Struct):
    """A word of CONFIG as MMC shows it: one after the other, again and again."""

    valid: 1
    index: CONFIG_BITS
    value: 32
