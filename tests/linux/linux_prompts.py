"""What makes Linux resend: a peer by hand on a TAP device, without the pair, that has lost what Linux sent.

A connection of Linux to the peer, whose ACKs come after a round trip of RTT seconds. Linux sends a flight of which the
peer receives nothing, as a unit that takes over knows of nothing. Then the peer sends a prompt, and from then on it
behaves as a receiver: what comes behind the hole it keeps and reports by SACK. Measured is when the first segment of
the flight comes again.

    .venv/bin/python -m tests.linux.linux_prompts      # as root: the table of hdl/spps/failover/README.md
"""
import select
import socket
import struct
import time

from spps_sim.checker.wire import ACK, PSH, SYN, parse_segment
from spps_sim.network.namespaces import Namespace
from spps_sim.peers.frames import (
    Arp,
    arp_frame,
    mss_option,
    parse_arp,
    sack_option,
    sack_permitted_option,
    tcp_frame,
    timestamp_option,
    unreachable_frame,
    wscale_option,
)

__all__ = ["PROMPTS", "RTT", "Peer", "measured"]

RTT = 0.1               # seconds: twice of it, the tail-loss probe, is far from "at once"
MSS = 1448
ADDRESS, LINUX, PORT = "10.66.6.1", "10.66.6.2", 5001
MAC = bytes.fromhex("020000000601")
ECE = 64


class Peer:
    """The receiver of one connection that Linux opens.

    window: bytes that it grants beyond its ACK. lost: it receives nothing. again: times at which the first segment of
    the flight came, all but the first transmission. first: the frame of the first one. fresh: times of segments never
    seen before.
    """

    def __init__(self, namespace, window):
        self.namespace, self.window, self.lost = namespace, window, False
        self.linux_mac = namespace.mac
        self.iss, self.rcv, self.kept = 1000, 0, []
        self.late = []                  # (time, segment): on their way to us
        self.seen, self.again, self.fresh, self.flight, self.first = set(), [], [], None, b""
        self.stamp = 0
        self.socket = namespace.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect_ex((ADDRESS, PORT))
        self.run(3 * RTT)
        assert self.rcv, "Linux did not connect"

    def frame(self, *, flags=ACK, seq=None, ack=None, window=None, options=b"", payload=b"", stamp=None):
        """A segment to Linux; fields as the peer is, unless given."""
        stamps = timestamp_option(int(time.monotonic() * 1000) if stamp is None else stamp, self.stamp)
        return tcp_frame(self.linux_mac, MAC, self.there, self.here, flags=flags, payload=payload,
                         seq=self.iss + 1 if seq is None else seq, ack=self.rcv if ack is None else ack,
                         window=self.window if window is None else window, options=stamps + options)

    def send(self, **fields):
        self.namespace.write(self.frame(**fields))

    def run(self, seconds, until=lambda: False):
        """Let time pass; stop when `until` holds."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end and not until():
            due = min([end, *(at for at, _ in self.late[:1])])
            select.select([self.namespace.fd], [], [], max(0, due - now))
            while data := self.namespace.read():
                self._sent(data)
            while self.late and self.late[0][0] <= time.monotonic():
                self._arrives(self.late.pop(0)[1])

    def _sent(self, data):
        """Linux has sent a frame."""
        arp = parse_arp(data)
        if arp and arp.operation == 1:
            self.namespace.write(arp_frame(data[6:12], Arp(2, MAC, arp.target_ip, arp.sender_mac, arp.sender_ip)))
        segment = parse_segment(data)
        if segment is None:
            return
        now = time.monotonic()
        if segment.payload:
            if segment.seq == self.flight:
                if segment.seq in self.seen:
                    self.again.append(now)
                else:
                    self.first = data
            if segment.seq not in self.seen:
                self.fresh.append(now)
            self.seen.add(segment.seq)
        if not self.lost:
            self.late.append((now + RTT, segment))

    def _arrives(self, segment):
        """A segment arrives: keep it, answer."""
        self.stamp = struct.unpack("!II", segment.options[8])[0] if 8 in segment.options else 0
        if segment.flags & SYN:
            self.here, self.there, self.rcv = segment.src, segment.dst, segment.seq + 1
            self.send(flags=SYN | ACK, seq=self.iss, options=mss_option(1460) + sack_permitted_option()
                      + wscale_option(0))
            return
        if not segment.payload:
            return
        self.kept.append((segment.seq, segment.seq + len(segment.payload)))
        for left, right in sorted(self.kept):
            if left <= self.rcv:
                self.rcv = max(self.rcv, right)
        self.kept = [block for block in self.kept if block[0] > self.rcv]
        self.send(options=sack_option([self.kept[-1]]) if self.kept else b"")

    def warm(self):
        """A round trip that Linux has measured well."""
        for _ in range(8):
            self.socket.send(bytes(MSS))
            self.run(1.3 * RTT)

    def fly(self, size):
        """Linux sends `size` bytes or what the window takes; nothing arrives."""
        self.lost, self.flight = True, self.rcv
        self.fresh.clear()
        self.socket.send(bytes(size))
        self.run(0.04)                  # Linux spreads a flight over a part of the round trip
        self.lost = False
        self.fresh.clear()


def icmp_too_big(peer, mtu):
    """ICMP 3/4 that quotes the first segment of the flight: a smaller MTU on the path (RFC 1191)."""
    peer.namespace.write(unreachable_frame(peer.first, mtu=mtu))


def repeat(number, **fields):
    def prompt(peer):
        for _ in range(number):
            peer.send(**fields)
    return prompt


def changing_windows(peer):
    for n in range(1, 5):
        peer.send(window=peer.window + n)


def wider(peer):
    """A window with room for one segment more. The peer keeps it: an edge may not go back."""
    peer.window += MSS
    peer.send()


def closed_and_open(peer):
    peer.send(window=0)
    peer.send()


def twice_received(peer):
    """D-SACK of what was acknowledged last."""
    for _ in range(4):
        peer.send(options=sack_option([(peer.rcv - MSS, peer.rcv)]))


def data_of_ours(peer):
    """A byte the other way, if the unit has one to send."""
    peer.send(flags=ACK | PSH, payload=b"x")
    peer.iss += 1


#: name -> (what is sent, whether it says only what is true)
PROMPTS = {
    "nothing": (lambda peer: None, True),
    "4 duplicate ACKs": (repeat(4), True),
    "4 ACKs, each with another window": (changing_windows, True),
    "window closed, window open": (closed_and_open, True),
    "4 ACKs with D-SACK of the last bytes acknowledged": (twice_received, True),
    "4 ACKs with ECE": (repeat(4, flags=ACK | ECE), True),
    "keepalive (SEG.SEQ = SND.NXT - 1)": (lambda peer: peer.send(seq=peer.iss), True),
    "a byte of data": (data_of_ours, True),
    "window wider by a segment": (wider, True),
    "SACK of the second segment": (
        lambda peer: peer.send(options=sack_option([(peer.flight + MSS, peer.flight + 2 * MSS)])), False),
    "ICMP 3/4, MTU 1 smaller": (lambda peer: icmp_too_big(peer, 1499), False),
}


def measured(prompt, size, window=5 * MSS, rtts=8):
    """Seconds from a prompt until the first segment of the flight comes again, until new data does; None: never."""
    with Namespace("prompt", f"{LINUX}/24") as namespace:
        peer = Peer(namespace, window)
        peer.warm()
        peer.fly(size)
        start = time.monotonic()
        PROMPTS[prompt][0](peer)
        peer.run(rtts * RTT, lambda: bool(peer.again))
        peer.socket.close()
        return (peer.again[0] - start if peer.again else None), (peer.fresh[0] - start if peer.fresh else None)


def main():
    print("| prompt | honest | 1 segment | 4 segments, no more | window full, more waits |")
    print("|---|---|---|---|---|")
    for prompt, (_, honest) in PROMPTS.items():
        cells = []
        for size in (MSS, 4 * MSS, 40 * MSS):
            again, _ = measured(prompt, size)
            cells.append("not in 8 RTT" if again is None else f"{again / RTT:.2f} RTT")
        print(f"| {prompt} | {'yes' if honest else 'no'} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
