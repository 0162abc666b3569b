"""Captures written by hand for the monitor."""
import struct

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether

from spps_sim.checker.monitor import check
from spps_sim.checker.wire import CapturedFrame

__all__ = ["C_ISN", "Env", "P_ISN_C", "P_ISN_V", "found"]

CLIENT, VIP0, VIP1, SERVER = "10.0.1.2", "10.0.1.1", "10.0.2.1", "10.0.2.2"
C_ISN, P_ISN_C, P_ISN_V, V_ISN = 1000, 0xFFFFFFF0, 3000, 4000      # our client-side ISN wraps in the trace


class Env:
    """An honest pair, frame by frame; seq/ack are relative to the ISNs."""

    def __init__(self):
        self.frames, self.time, self.unit, self.epoch, self.number = [], 0, 0, 1, 0
        self.snd_una, self.serial = [P_ISN_C, P_ISN_V], 0

    def tcp(self, link, ours, flags, seq, ack, payload=b"", window=4096, options=(), corrupt=False):
        self.time += 1000
        client = link == "client"
        peer, pair = ((CLIENT, 40000), (VIP0, 80)) if client else ((SERVER, 80), (VIP1, 50000))
        our_isn, peer_isn = (P_ISN_C, C_ISN) if client else (P_ISN_V, V_ISN)
        src, dst = (pair, peer) if ours else (peer, pair)
        mine, theirs = (our_isn, peer_isn) if ours else (peer_isn, our_isn)
        segment = TCP(sport=src[1], dport=dst[1], flags=flags, seq=(mine + seq) % 2**32, window=window,
                      options=list(options), ack=(theirs + ack) % 2**32 if "A" in flags else 0)
        data = bytearray(bytes(
            Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src=src[0], dst=dst[0]) / segment / payload))
        if corrupt:
            data[-1] ^= 1
        self.frames.append(CapturedFrame(self.time, link, self.unit if ours else None, bytes(data)))

    def sync(self, type_, number, kind=0, lines=(), unit=None, epoch=None):
        """unit, epoch: of the frame; by default what an honest pair has."""
        self.time += 1000
        mask = sum(1 << n for n, _ in lines)
        epoch = self.epoch if epoch is None else epoch
        self.serial += 1
        header = struct.pack("!BxHIHHBBHIIIQ6x", 4, epoch, number, 0, mask, type_, kind, 0, 0, 0, 0, self.serial)
        body = b"".join(struct.pack("!8I", *words) for _, words in lines) + bytes(8)
        if unit is None:
            unit = self.unit if type_ in (1, 3, 6, 7) else 1 - self.unit
        self.frames.append(CapturedFrame(self.time, "sync", unit, bytes(12) + b"\x88\xb5" + header + body))

    def record(self, kind=0, confirm=True):
        self.number = (self.number + 1) % 2**32
        snd_una = [u % 2**32 for u in self.snd_una]
        lines = [(0, (3, self.epoch, snd_una[0], 0, snd_una[1], 0, 0, 0))]
        if kind:
            address, ours = ([struct.unpack("!I", bytes(map(int, text.split("."))))[0] for text in texts]
                             for texts in ((CLIENT, SERVER), (VIP0, VIP1)))
            lines += [(1, (0,) * 8), (2, (0, 0, ours[0], address[0], 40000 << 16 | 80, 0, 0, 0)), (3, (0,) * 8),
                      (8, (1 << 16, 0, ours[1], address[1], 80 << 16 | 50000, 0, 0, 0)), (9, (0,) * 8)]
        self.sync(1, self.number, kind, lines)
        if confirm:
            self.sync(2, self.number)

    def handshake(self, stamp=(), forge=lambda: None):
        """stamp: options of every segment. forge: what a stranger sends behind the client's SYN."""
        options = [("MSS", 1460), *stamp]
        self.tcp("client", False, "S", 0, 0, options=options)
        forge()
        self.tcp("server", True, "S", 0, 0, options=options)
        self.tcp("server", False, "SA", 0, 1, options=options)
        self.snd_una[1] = P_ISN_V + 1
        self.record(kind=1)
        self.tcp("client", True, "SA", 0, 1, options=options)
        self.tcp("server", True, "A", 1, 1, options=stamp)
        self.tcp("client", False, "A", 1, 1, options=stamp)

    def announce(self, link, operation=1, unit=None):
        """Gratuitous ARP of a unit, by default the active one."""
        self.time += 1000
        address = VIP0 if link == "client" else VIP1
        mac = "02:00:00:00:00:01"
        data = bytes(Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=operation, hwsrc=mac, psrc=address, pdst=address))
        self.frames.append(CapturedFrame(self.time, link, self.unit if unit is None else unit, data))

    def unprotected(self):
        """A handshake of which the standby hears nothing."""
        self.tcp("client", False, "S", 0, 0)
        self.tcp("server", True, "S", 0, 0)
        self.tcp("server", False, "SA", 0, 1)
        self.tcp("client", True, "SA", 0, 1)
        self.tcp("server", True, "A", 1, 1)
        self.tcp("client", False, "A", 1, 1)

    def echo(self):
        """A handshake of the client with the pair itself."""
        self.tcp("client", False, "S", 0, 0)
        self.tcp("client", True, "SA", 0, 1)
        self.tcp("client", False, "A", 1, 1)

    def heartbeat(self, depends=True, echo=True):
        self.sync(3, self.number, int(depends))
        if echo:
            self.sync(4, self.number)

    def take_over(self, quiet=False):
        """The other unit becomes the active. quiet: its first heartbeat is still to come."""
        self.unit, self.epoch = 1 - self.unit, (self.epoch + 1) % 2**16
        if not quiet:
            self.sync(3, self.number)

    def rejoin(self, full=True, confirm=True):
        """The other unit becomes the standby; full: it gets the connection; confirm: and has it."""
        self.sync(4, self.number)
        if full:
            self.record(kind=1, confirm=confirm)
        self.heartbeat(echo=confirm)

    def forward(self, at=1):
        """Client sends 10 bytes, they are relayed, acknowledged, recorded; the caller sends the ACK."""
        self.tcp("client", False, "PA", at, 1, b"0123456789")
        self.tcp("server", True, "PA", at, 1, b"0123456789")
        self.tcp("server", False, "A", 1, at + 10)
        self.snd_una[1] = P_ISN_V + at + 10

    def speak(self, ack=1, links=("client", "server")):
        """The pair repeats its ACKs; ack: that to the client."""
        for link in links:
            self.tcp(link, True, "A", 1 if link == "client" else ack, ack if link == "client" else 1)

    def broken(self, bend):
        """Invariants that the monitor finds broken when the trace goes on as `bend` says."""
        self.handshake()
        bend(self)
        return {violation.invariant for violation in check(self.frames).violations}


def found(t):
    """Return the invariants that the monitor finds broken, one per violation."""
    return [violation.invariant for violation in check(t.frames).violations]
