"""ARP of a peer: answers for its own address, resolves others, keeps frames until the answer is there.

Source: RFC 826; RFC 1122 §2.3.2.2 (keep at least one packet while resolving).
"""
from .frames import BROADCAST, Arp, arp_frame, parse_arp

__all__ = ["ArpTable"]


class ArpTable:
    """Address resolution of one interface.

    Parameters
    ----------
    mac, ip : bytes, int
        Its own addresses.
    send : callable
        Called with each frame to transmit.
    now : callable
        Returns the time in cycles.
    retry : int
        Cycles between requests for an address that is not resolved.
    """

    def __init__(self, mac, ip, send, *, now, retry):
        self.mac, self.ip = mac, ip
        self._send, self._now, self._retry = send, now, retry
        self.known = {}             # IPv4 number -> MAC
        self.also = set()           # addresses that are answered for as well: of a router
        self.silent = False         # nothing is answered
        self._waiting = {}          # IPv4 number -> [deadline, frame builders]
        self.changes = []           # (time, ip, old MAC, new MAC): a virtual MAC must never appear here

    def announce(self, operation, ip=None):
        """Tell everybody our MAC address by a gratuitous request (1) or reply (2), RFC 5227 §3; ip: by default ours."""
        ip = self.ip if ip is None else ip
        target = bytes(6) if operation == 1 else BROADCAST
        self._send(arp_frame(BROADCAST, Arp(operation, self.mac, ip, target, ip)))

    def transmit(self, ip, build):
        """Send build(MAC address of `ip`), now or when the address is resolved."""
        if ip in self.known:
            self._send(build(self.known[ip]))
        elif ip in self._waiting:
            self._waiting[ip][1].append(build)
        else:
            self._waiting[ip] = [self._now() + self._retry, [build]]
            self._request(ip)

    def _request(self, ip):
        self._send(arp_frame(BROADCAST, Arp(1, self.mac, self.ip, bytes(6), ip)))

    def receive(self, data):
        """Take a frame; return False when it is not ARP."""
        packet = parse_arp(data)
        if packet is None:
            return data[12:14] == b"\x08\x06"
        old = self.known.get(packet.sender_ip)
        if old not in (None, packet.sender_mac):
            self.changes.append((self._now(), packet.sender_ip, old, packet.sender_mac))
        if packet.target_ip == self.ip or old is not None or packet.sender_ip in self._waiting:
            self.known[packet.sender_ip] = packet.sender_mac
            for build in self._waiting.pop(packet.sender_ip, (0, ()))[1]:
                self._send(build(packet.sender_mac))
        asked = packet.target_ip
        if packet.operation == 1 and asked in {self.ip, *self.also} and not self.silent:
            self._send(arp_frame(packet.sender_mac, Arp(2, self.mac, asked, packet.sender_mac, packet.sender_ip)))
        return True

    def deadline(self):
        """Return the time of the next request to repeat, or None."""
        return min((entry[0] for entry in self._waiting.values()), default=None)

    def tick(self):
        """Repeat the requests that are due."""
        for ip, entry in self._waiting.items():
            if entry[0] <= self._now():
                entry[0] = self._now() + self._retry
                self._request(ip)
