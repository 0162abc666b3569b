"""Scenarios for programs on the functional pair: a two-way transfer, and a peer that is played by hand."""
import random
from types import SimpleNamespace

from ..checker import monitor
from ..checker.wire import ACK, SYN, parse_segment
from ..peers.frames import Arp, arp_frame, ip_number, mac_bytes, parse_arp, tcp_frame
from .functional_pair import CLIENT_IP, VIP_0, FunctionalPair

__all__ = ["Transfer", "RawPeer", "RawClient"]


class Transfer:
    """`up` bytes to the server and `down` bytes back over the proxy; both sides close when they have written.

    close: "client" closes after writing and the server answers the FIN; "server" the other way; "both" close after
    writing. peer_iss: ISN of both peers. Other arguments go to FunctionalPair.
    """

    def __init__(self, up=3000, down=2000, *, close="client", port=80, peer_iss=None, **pair):
        self.pair = FunctionalPair(**pair)
        if peer_iss is not None:        # ISN of both peers
            for peer in self.pair.peers:
                fixed = SimpleNamespace(getrandbits=lambda bits: peer_iss, randrange=lambda low, high: low)
                peer._random = fixed        # pyright: ignore[reportAttributeAccessIssue]
        self.up, self.down = random.Random(5).randbytes(up), random.Random(6).randbytes(down)
        self.close, self.accepted = close, []
        self.pair.server.listen(port, self._server_event)
        self.port = port
        self.client = self.pair.client.connect(VIP_0, port, on_event=self._client_event)

    def _server_event(self, connection, what):
        if what == "established":
            self.accepted.append(connection)
            connection.write(self.down)
            if self.close in ("server", "both"):
                connection.close()
        if what == "fin":
            connection.close()

    def _client_event(self, connection, what):
        if what == "established":
            connection.write(self.up)
            if self.close in ("client", "both"):
                connection.close()
        if what == "fin":
            connection.close()

    @property
    def server(self):
        """The server's connection (the newest, if a kill made the client start again)."""
        return self.accepted[-1] if self.accepted else None

    def run(self, **kw):
        """Run the pair; arguments as FunctionalPair.run. Returns self."""
        self.pair.run(**kw)
        return self

    def problems(self):
        """Return what differs from a completed transfer; empty if all is well."""
        out = []
        if self.server is None:
            return ["the server never had an established connection"]
        if bytes(self.server.received) != self.up:
            out.append(f"the server received {len(self.server.received)} bytes of {len(self.up)}, or others")
        if bytes(self.client.received) != self.down:
            out.append(f"the client received {len(self.client.received)} bytes of {len(self.down)}, or others")
        for name, peer in (("client", self.client), ("server", self.server)):
            if not peer.finished:
                out.append(f"the {name} ended in {peer.state} after {peer.history[-4:]}")
            if peer.was("reset"):
                out.append(f"the {name} was reset")
            if len(peer.fin_numbers) != 1:
                out.append(f"the {name} saw FINs at {sorted(peer.fin_numbers)}")
            if peer.ack_regressions or peer.edge_regressions:
                out.append(f"the {name} saw numbers go back: {peer.ack_regressions[:2]} {peer.edge_regressions[:2]}")
        out += [str(v) for v in monitor.check(self.pair.capture).violations]
        unit = self.pair.active
        assert unit is not None, "both units are dead"
        if unit.in_use or unit.keys or unit.scratch or unit.gate:
            out.append(f"left behind: connections {unit.in_use}, keys {unit.keys}, payload {len(unit.scratch)}, "
                       f"gate {len(unit.gate)}")
        if any(u.in_use or u.keys for u in self.pair.units if u.alive):
            out.append("the standby still knows the connection")
        return out

    def check(self):
        """Raise AssertionError with the problems, if there are any."""
        problems = self.problems()
        assert not problems, "\n".join(problems)


class RawPeer:
    """A host without TCP: answers ARP, keeps the segments it gets, sends what it is told."""

    def __init__(self, pair, port, ip, mac):
        self.pair, self.port, self.ip, self.mac = pair, port, ip_number(ip), mac_bytes(mac)
        self.got, self.replies = [], []
        self.gateway = pair.units[0].mac
        pair.peers[port] = self

    def receive(self, data):
        """Note a frame."""
        arp = parse_arp(data)
        if arp:
            self.replies.append(arp)
            return
        segment = parse_segment(data)
        assert segment is not None and not segment.problems, segment and segment.problems
        self.got.append(segment)

    def settle(self, ticks=60):
        """Run for so many ticks and return the segments that came."""
        self._until = self.pair.time + ticks
        self.pair.at(ticks, lambda: None)
        self.pair.run(until=lambda: self.pair.time >= self._until, limit=ticks)
        got, self.got = self.got, []
        return got

    def deadline(self):
        """Return None: nothing happens by itself."""
        return None

    def tick(self):
        """Do nothing."""

    def arp(self, target):
        """Send an ARP request."""
        self.pair._from_peer(self.port, arp_frame(b"\xff" * 6, Arp(1, self.mac, self.ip, bytes(6), ip_number(target))))

    def segment(self, src_port, dst, *, seq=0, ack=0, flags=0, window=8192, payload=b"", options=b""):
        """Send a segment to the unit."""
        self.pair._from_peer(self.port, tcp_frame(self.gateway, self.mac, (self.ip, src_port), dst, seq=seq, ack=ack,
                                                  flags=flags, window=window, payload=payload, options=options))


class RawClient(RawPeer):
    """A client played by hand, connected to the pair's server through the proxy, or to an endpoint application."""

    def __init__(self, pair, *, port=80, iss=1000, window=8192, options=b""):
        super().__init__(pair, 0, CLIENT_IP, "02:00:00:00:00:02")
        self.dst, self.sport = (ip_number(VIP_0), port), 40000
        self.iss, self.window, self.options = iss, window, options
        self.nxt = iss

    def send(self, flags=ACK, payload=b"", *, seq=None, ack=None, window=None):
        """Send a segment at the next number (or `seq`), acknowledging what we know (or `ack`)."""
        self.segment(self.sport, self.dst, seq=self.nxt if seq is None else seq, ack=self.rcv if ack is None else ack,
                     flags=flags, window=self.window if window is None else window, payload=payload)

    def open(self):
        """Do the handshake; return the SYN-ACK."""
        self.segment(self.sport, self.dst, seq=self.iss, flags=SYN, window=self.window, options=self.options)
        answer, = self.settle()
        assert answer.flags == SYN | ACK, answer
        self.nxt, self.peer_iss, self.rcv = self.iss + 1, answer.seq, answer.seq + 1
        self.send()
        assert not self.settle()
        return answer
