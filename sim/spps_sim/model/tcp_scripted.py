"""A proxied connection whose both ends are played by hand, segment by segment."""
from ..checker.wire import ACK, SYN
from ..peers.frames import mss_option
from .functional_pair import SERVER_IP, SERVER_MAC, FunctionalPair
from .tcp_scenarios import RawClient, RawPeer

__all__ = ["ScriptedPeers"]


class _Server(RawPeer):
    """The server by hand: the same `send` as RawClient's. nxt, rcv: numbers it would send and expects."""

    def __init__(self, pair, iss=70_000, window=8192):
        super().__init__(pair, 1, SERVER_IP, SERVER_MAC)
        self.iss, self.window, self.local, self.remote = iss, window, 0, (0, 0)
        self.nxt = self.rcv = iss

    def send(self, flags=ACK, payload=b"", *, seq=None, ack=None, window=None, options=b""):
        self.segment(self.local, self.remote, seq=self.nxt if seq is None else seq,
                     ack=self.rcv if ack is None else ack, flags=flags,
                     window=self.window if window is None else window, payload=payload, options=options)


class ScriptedPeers:
    """A client and a server played by hand.

    options: of the client's SYN. mss: what the server announces. Other arguments go to FunctionalPair.
    """

    def __init__(self, *, options=b"", mss=1460, client_window=8192, server_window=8192, **pair):
        self.pair = FunctionalPair(**pair)
        self.mss = mss
        self.client = RawClient(self.pair, options=options, window=client_window)
        self.server = _Server(self.pair, window=server_window)

    @property
    def unit(self):
        """The active unit."""
        return self.pair.active

    def syn(self):
        """Send the SYN of the client, and run until the server has ours."""
        self.client.segment(self.client.sport, self.client.dst, seq=self.client.iss, flags=SYN,
                            window=self.client.window, options=self.client.options)
        self.client.nxt = self.client.iss + 1
        ours, = self.server.settle()
        assert ours.flags == SYN, ours
        self.server.local, self.server.remote = ours.dst[1], ours.src
        self.server.rcv, self.server.nxt = ours.seq + 1, self.server.iss + 1
        return self

    def syn_ack(self):
        """Let the server accept, and run until the client has our SYN-ACK."""
        self.server.send(SYN | ACK, seq=self.server.iss, options=mss_option(self.mss))
        answer, = self.client.settle()
        assert answer.flags == SYN | ACK, answer
        self.client.rcv = answer.seq + 1
        self.server.settle(1)
        return self

    def open(self):
        """Both handshakes."""
        self.syn().syn_ack()
        self.client.send()
        self.client.settle()
        self.server.settle(1)
        return self

    def up(self, size, **fields):
        """Send `size` bytes from the client; return what the server gets."""
        self.client.send(payload=bytes(size), **fields)
        self.client.nxt += size
        return self.server.settle()

    def down(self, size, **fields):
        """Send `size` bytes from the server; return what the client gets."""
        self.server.send(payload=bytes(size), **fields)
        self.server.nxt += size
        return self.client.settle()
