"""Reference model of the neighbour table: what RFC 826 and RFC 1122 §2.3.2 ask of an ARP cache, without sizes.

Source: RFC 826 ("Packet Reception"), RFC 1122 §2.3.2.1 (timeout, unicast poll, rate of requests), §3.3.1.1 (next hop).
"""
from collections import Counter
from dataclasses import dataclass
from typing import Any

__all__ = ["BROADCAST_MAC", "NeighbourModel", "Request"]

BROADCAST_MAC = (1 << 48) - 1
REGISTERS = {"prefix_0": 0, "prefix_1": 0, "gateway_0": 0, "gateway_1": 0, "arp_age": 30000, "arp_interval": 1000,
             "arp_retries": 3, "arp_holdoff": 5000}


@dataclass(frozen=True, order=True)
class Request:
    """An ARP request: network, address that is asked for, where the frame goes."""

    network: int
    ip: int
    target: int


@dataclass
class _Entry:
    """state: "asked", "known" or "failed". until: tick of its next change."""

    state: str
    until: int
    mac: int | None = None
    used: bool = False
    tries: int = 0


class NeighbourModel:
    """MAC addresses of next hops.

    Parameters
    ----------
    vips : tuple of two int
        Our addresses.
    registers : dict
        Names of registers -> values; others have their reset values.
    now : int
        Tick, not wrapped.
    """

    def __init__(self, vips, registers=None, now=0):
        self.vips, self.now, self.active = vips, now, True
        self.registers: dict[str, Any] = REGISTERS | (registers or {})
        self.entries = {}           # (network, IPv4 number) -> _Entry
        self.count = Counter()

    def _on_link(self, network, ip):
        shift = 32 - min(self.registers[f"prefix_{network}"], 32)
        return ip >> shift == self.vips[network] >> shift

    def hop(self, network, ip):
        """Return the next hop of a destination, 0: none."""
        return ip if self._on_link(network, ip) else self.registers[f"gateway_{network}"]

    def query(self, network, ip):
        """Return the MAC address for a frame to `ip`, or None."""
        hop = self.hop(network, ip) if network < 2 else 0
        if not hop:
            self.count["no_hop"] += 1
            return None
        entry = self.entries.get((network, hop))
        if entry is None and self.active:
            self.entries[network, hop] = _Entry("asked", self.now, used=True)
        if entry is None or entry.state != "known":
            self.count["missed"] += 1
            return None
        self.count["resolved"] += 1
        entry.used = entry.used or self.active
        return entry.mac

    def learn(self, network, ip, mac, create):
        """Take the sender addresses of an ARP packet. create: it was for us."""
        entry = self.entries.get((network, ip))
        top = ip >> 24
        if (network > 1 or top in (0, 127) or top >= 224 or not mac or mac >> 40 & 1 or ip == self.vips[network]
                or not self._on_link(network, ip) and ip != self.registers[f"gateway_{network}"]):
            self.count["refused"] += 1
        elif entry is None and not create:
            self.count["unsolicited"] += 1
        else:
            before = entry or _Entry("free", self.now)
            known = before.state == "known"
            self.count["learned" if not known else "confirmed" if before.mac == mac else "changed"] += 1
            waited = before.state == "asked"
            self.entries[network, ip] = _Entry("known", self.now + self.registers["arp_age"], mac, used=waited)

    def deadline(self):
        """Return the tick of the next change, or None."""
        return min((entry.until for entry in self.entries.values()), default=None)

    def advance(self, now):
        """Let time pass; return the requests that have to be sent."""
        self.now = now
        requests = []
        for (network, ip), entry in list(self.entries.items()):
            if entry.until > now:
                continue
            asking = self.active and (entry.state == "asked" or entry.state == "known" and (entry.tries or entry.used))
            if asking and entry.tries < self.registers["arp_retries"]:
                poll = entry.state == "known" and not entry.tries       # unicast poll, then everybody
                requests.append(Request(network, ip, entry.mac if poll else BROADCAST_MAC))
                self.count["polls" if poll else "requests"] += 1
                entry.tries += 1
                entry.until = now + self.registers["arp_interval"]
            elif asking and entry.tries:
                self.count["unanswered"] += 1
                self.entries[network, ip] = _Entry("failed", now + self.registers["arp_holdoff"])
            else:
                self.count["aged"] += entry.state == "known"
                del self.entries[network, ip]
        return requests

    @property
    def known(self):
        """Addresses whose MAC address is known."""
        return sum(entry.state == "known" for entry in self.entries.values())
