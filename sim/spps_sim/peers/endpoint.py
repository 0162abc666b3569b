"""A deterministic host in simulated time: one Ethernet interface, ARP and TCP.

It shares no code with the RTL or the reference models, so both can be tested against it. Where TAP devices are not
permitted it takes the place of a Linux peer.
"""
import random

from ..checker.wire import ACK, RST, SYN, parse_segment
from .arp import ArpTable
from .config import TcpConfig
from .connection import TcpConnection
from .frames import ip_number, mac_bytes, tcp_frame

__all__ = ["Endpoint"]


class Endpoint:
    """A host.

    A network calls attach() first, then receive() with each frame and tick() at the time that deadline() says.

    Parameters
    ----------
    name : str
        For messages and as part of the seed.
    mac, ip : str
        Addresses, e.g. "02:00:00:00:00:0c" and "10.1.0.2".
    config : TcpConfig, optional
        Of its connections.
    seed : int
        Of ISNs and local ports.
    """

    def __init__(self, name, mac, ip, config=None, seed=0):
        self.name = name
        self.mac, self.ip = mac_bytes(mac), ip_number(ip)
        self.config = config or TcpConfig()
        self._random = random.Random(f"{name}/{seed}")
        self._listeners = {}
        self.connections = {}           # (local, remote) -> TcpConnection, current
        self.past = []                  # connections replaced or over
        self.counters = dict.fromkeys(("frames", "bad", "other", "resets_sent", "unknown"), 0)
        self.problems = []              # (time, text) of malformed frames
        self.arp: ArpTable              # made by attach()

    def attach(self, send, now):
        """Connect to a network: send(frame) transmits, now() returns the time in cycles."""
        self._send, self._now = send, now
        self.arp = ArpTable(self.mac, self.ip, send, now=now, retry=self.config.rto_initial)

    def replace_mac(self, mac):
        """Go on with another MAC address; `arp.announce` tells it."""
        self.mac = self.arp.mac = mac_bytes(mac)

    # application ---------------------------------------------------------------------------
    def listen(self, port, on_event):
        """Accept connections on `port`; on_event(connection, what) is called as TcpConnection says."""
        self._listeners[port] = on_event

    def connect(self, ip, port, *, on_event=None, local_port=None):
        """Open a connection to `ip` (text or number), from a random free port if none is named, and return it."""
        remote = (ip_number(ip) if isinstance(ip, str) else ip, port)
        local = (self.ip, local_port or self._free_port(remote))
        connection = self._make(local, remote, on_event)
        connection.open()
        return connection

    def all_connections(self):
        """Return every connection there has been, oldest first."""
        return self.past + list(self.connections.values())

    # network -------------------------------------------------------------------------------
    def _free_port(self, remote):
        """Return a random port from which there is no connection to `remote`."""
        while True:
            port = self._random.randrange(49152, 65536)
            if ((self.ip, port), remote) not in self.connections:
                return port

    def _make(self, local, remote, on_event):
        def emit(seq, ack, flags, window, payload, options):
            self._transmit(local, remote, seq=seq, ack=ack, flags=flags, window=window, payload=payload,
                           options=options)
        connection = TcpConnection(self.config, local, remote, self._random.getrandbits(32), emit, self._now,
                                   on_event=on_event)
        old = self.connections.pop((local, remote), None)
        if old is not None:
            self.past.append(old)
        self.connections[local, remote] = connection
        return connection

    def _transmit(self, local, remote, **segment):
        self.arp.transmit(remote[0], lambda mac: tcp_frame(mac, self.mac, local, remote, **segment))

    def receive(self, data):
        """Take a frame from the network."""
        self.counters["frames"] += 1
        if data[0:6] != self.mac and not data[0] & 1:
            self.counters["other"] += 1
            return
        if self.arp.receive(data):
            return
        segment = parse_segment(data)
        if segment is None or segment.dst[0] != self.ip:
            self.counters["other"] += 1
            return
        if segment.problems:
            self.counters["bad"] += 1
            self.problems.append((self._now(), ", ".join(segment.problems)))
            return
        connection = self.connections.get((segment.dst, segment.src))
        if connection is not None and connection.deadline() is None and connection.state.name == "CLOSED":
            connection = None
        if connection is not None:
            connection.receive(segment)
        elif segment.dst[1] in self._listeners and segment.flags & (SYN | ACK | RST) == SYN:
            self._make(segment.dst, segment.src, self._listeners[segment.dst[1]]).accept(segment)
        elif not segment.flags & RST:
            self._refuse(segment)

    def _refuse(self, segment):
        """Answer a segment that belongs to no connection with RST (RFC 9293 §3.10.7.1)."""
        self.counters["unknown"] += 1
        self.counters["resets_sent"] += 1
        if segment.flags & ACK:
            self._transmit(segment.dst, segment.src, seq=segment.ack, ack=0, flags=RST, window=0)
        else:
            self._transmit(segment.dst, segment.src, seq=0, ack=segment.seq + segment.length, flags=RST | ACK, window=0)

    def deadline(self):
        """Return the earliest time at which tick() has work, or None."""
        times = [c.deadline() for c in self.connections.values()] + [self.arp.deadline()]
        return min((t for t in times if t is not None), default=None)

    def tick(self):
        """Let the timers run that are due."""
        self.arp.tick()
        for connection in list(self.connections.values()):
            connection.tick()
