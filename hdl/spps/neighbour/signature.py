"""Configuration of neighbour table and announcer: tables from which signatures and registers of the host are made."""
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from ..layouts.neighbour import NETWORKS
from ..lib.item import Item
from .entry import TICK_BITS, TRIES_BITS

__all__ = ["ANNOUNCE", "CONFIG", "INTERVAL_BITS", "AnnounceConfig", "NeighbourConfig", "Networks"]

#: of the interval of announcements, ticks
INTERVAL_BITS = 16

#: in the order of the registers
CONFIG = (
    *(Item(f"prefix_{n}", 6, f"bits of vip_{n} that name network {n}: a destination with these bits is its own next "
                             "hop; 0: every one is", most=32) for n in range(NETWORKS)),
    *(Item(f"gateway_{n}", 32, f"next hop of every other destination on network {n}; 0: none is known")
      for n in range(NETWORKS)),
    Item("arp_age", TICK_BITS, "ticks after which a MAC address in use is asked for again and one out of use forgotten",
         30000),
    Item("arp_interval", TICK_BITS, "ticks between two ARP requests for one address", 1000),
    Item("arp_retries", TRIES_BITS, "ARP requests without an answer before an address is given up; 0: none is sent", 3),
    Item("arp_holdoff", TICK_BITS, "ticks until an address that was given up is asked for again", 5000),
)

#: in the order of the registers
ANNOUNCE = (
    Item("announce_count", 4, "announcements of our address on each network since this unit became the active one, "
                              "each a gratuitous ARP request and a reply; 0: none", 3),
    Item("announce_interval", INTERVAL_BITS, "ticks between two announcements; the first one leaves at once", 1000),
)


class NeighbourConfig(wiring.Signature):
    """Configuration of the neighbour table, driven by the host's registers.

    Members
    -------
    prefix_0, prefix_1 : Out(6), bits
        Length of the prefix of each network.
    gateway_0, gateway_1 : Out(32), IPv4 addresses
        Next hop outside it.
    arp_age, arp_interval, arp_holdoff : Out(24), ticks
        Times.
    arp_retries : Out(4), requests
        Most requests without an answer.

    What each does is in `CONFIG`, of which the members and the registers are made.
    """

    def __init__(self):
        super().__init__({item.name: Out(item.width) for item in CONFIG})


class AnnounceConfig(wiring.Signature):
    """Configuration of the announcer, driven by the host's registers.

    Members
    -------
    announce_count : Out(4), announcements
        On each network.
    announce_interval : Out(16), ticks
        Between two.

    What each does is in `ANNOUNCE`, of which the members and the registers are made.
    """

    def __init__(self):
        super().__init__({item.name: Out(item.width) for item in ANNOUNCE})


class Networks(wiring.Signature):
    """What the parts of the table know of the networks.

    Members
    -------
    vip : Out(32 × NETWORKS), IPv4 addresses
        Ours.
    mask : Out(32 × NETWORKS)
        The bits of the prefix are set.
    gateway : Out(32 × NETWORKS), IPv4 addresses
        Next hop outside the prefix, 0: none.
    """

    def __init__(self):
        super().__init__({name: Out(data.ArrayLayout(32, NETWORKS)) for name in ("vip", "mask", "gateway")})
