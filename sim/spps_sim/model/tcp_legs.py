"""One leg of the program played by hand: the client's, the server's, or that of the echo endpoint.

What holds of TCP holds on every leg, so a test takes its leg as a parameter.
"""
from spps.layouts.flowstate import LEG, LEG_BASE, LEG_STRIDE

from ..checker.wire import ACK, FIN, SYN, parse_segment
from ..peers.frames import ip_number, timestamp_option
from .functional_pair import (
    CLIENT_IP,
    SERVER_IP,
    SERVER_MAC,
    VIP_0,
    VIP_1,
    FunctionalPair,
)
from .tcp_scenarios import RawPeer

__all__ = ["LEGS", "PASSIVE", "Leg"]

#: legs by name, and those of them that answer a SYN
LEGS, PASSIVE = ("client", "server", "endpoint"), ("client", "endpoint")
_CLIENT_MAC = "02:00:00:00:00:02"
_CHUNK = 1460


class Leg(RawPeer):
    """The peer on a leg; numbers of its own stream and of the unit's are `iss`, `nxt` and `peer_iss`, `rcv`.

    name: of LEGS. options: of our SYN. port: our port as client (as server: 80). timestamps: in all our segments, and
    at the far end; `val`: our TSval (None: the time), `echo`: our TSecr. Other arguments go to FunctionalPair.
    `other`: the connection at the far end of the proxy (endpoint: None). `unit`: the active one.
    """

    def __init__(self, name, *, options=b"", iss=1000, window=8192, port=40000, pair=None, far=None, config=None,
                 timestamps=False, **more):
        self.timestamps, self.val, self.echo = timestamps, None, 0
        if timestamps:
            more |= {end: more.get(end, {}) | {"timestamps": True} for end in ("client", "server")}
        self.name, self.options, self.iss, self.window = name, options, iss, window
        mode = {"mode": int(name != "endpoint")}
        pair = pair or FunctionalPair(config=mode | (config or {}), standby=name != "endpoint", **more)
        self.far_event = far or (lambda connection, what: None)
        self.other = None
        if name == "server":
            super().__init__(pair, 1, SERVER_IP, SERVER_MAC)
            self.sport = 80
        else:
            super().__init__(pair, 0, CLIENT_IP, _CLIENT_MAC)
            self.sport, self.dst = port, (ip_number(VIP_0), 7 if name == "endpoint" else 80)
            if name == "client" and 80 not in pair.server._listeners:
                pair.server.listen(80, self._far)
        self.nxt = iss

    def _far(self, connection, what):
        if what == "established":
            self.other = connection
        self.far_event(connection, what)

    @property
    def unit(self):
        """The active unit."""
        return self.pair.active

    @property
    def state(self):
        """Flowstate of our connection."""
        return self.unit.flowstates[0]

    def place(self, field, *, peer=False):
        """Index in `state` of the word of a field of our leg; peer: of the leg at the far end."""
        return LEG_BASE + LEG_STRIDE * ((self.name == "server") ^ peer) + LEG[field].word

    def word(self, field, *, peer=False, more=0):
        """Value of a field of our leg, or of the leg at the far end (`peer`); more: of so many words behind it."""
        lsb, width = LEG[field].lsb, LEG[field].width
        return self.state[self.place(field, peer=peer) + more] >> lsb & (1 << width) - 1

    # opening --------------------------------------------------------------------------------
    def syn(self, **kw):
        """Send what comes before the unit's first segment: our SYN, or that of the far client."""
        if self.name == "server":
            self.other = self.pair.client.connect(VIP_0, 80, on_event=self._far)
        else:
            self.segment(self.sport, self.dst, seq=self.iss, flags=SYN, window=self.window, options=self.options, **kw)

    def first(self, ticks=60):
        """SYN, or SYN-ACK, of the unit; takes its number."""
        segment = self.settle(ticks)[0]
        assert segment.flags == (SYN if self.name == "server" else SYN | ACK), segment
        self.dst = (ip_number(VIP_1), segment.src[1]) if self.name == "server" else self.dst
        self.peer_iss, self.rcv, self.nxt = segment.seq, segment.seq + 1 & 0xFFFFFFFF, self.iss + 1 & 0xFFFFFFFF
        return segment

    def finish(self, **kw):
        """Our last segment of the handshake."""
        if self.name == "server":
            self.send(SYN | ACK, seq=self.iss, options=self.options, **kw)
        else:
            self.send(ACK, **kw)

    def open(self, settle=True):
        """Do the whole handshake; return the first segment of the unit."""
        self.syn()
        segment = self.first()
        self.finish()
        if settle:
            self.settle()
            assert self.state[0] & 1, "the handshake is not complete"
        return segment

    # segments ---------------------------------------------------------------------------------
    def receive(self, data):
        """Note a frame, and its timestamp for the echo."""
        super().receive(data)
        segment = parse_segment(data)
        if segment and 8 in segment.options:
            self.echo = int.from_bytes(segment.options[8][:4], "big")

    def segment(self, *address, options=b"", **kw):
        """Send a segment to the unit, with a timestamp if we use them."""
        if self.timestamps:
            options += timestamp_option((self.pair.time if self.val is None else self.val) & 0xFFFFFFFF, self.echo)
        super().segment(*address, options=options, **kw)

    def send(self, flags=ACK, payload=b"", *, seq=None, ack=None, window=None, options=b""):
        """Send a segment at our next number (or `seq`), acknowledging what we know (or `ack`)."""
        self.segment(self.sport, self.dst, seq=(self.nxt if seq is None else seq) & 0xFFFFFFFF,
                     ack=(self.rcv if ack is None else ack) & 0xFFFFFFFF, flags=flags,
                     window=self.window if window is None else window, payload=payload, options=options)

    def take(self, segments):
        """Note the bytes in order and the FIN of these segments; returns the bytes."""
        out = b""
        for s in segments:
            if s.seq == self.rcv:
                out += s.payload
                self.rcv = self.rcv + len(s.payload) + bool(s.flags & FIN) & 0xFFFFFFFF
        return out

    def close(self):
        """Send our FIN, take what comes up to that of a far end that closes too, and acknowledge it."""
        self.send(FIN | ACK)
        self.nxt += 1
        self.take(self.settle())
        self.send()
        self.settle()

    # the far end ------------------------------------------------------------------------------
    def far_write(self, data):
        """Give the unit bytes to send to us; an echo endpoint gets them from us, in segments of its MSS."""
        if self.other is not None:
            self.other.write(data)
            return
        for start in range(0, len(data), _CHUNK):
            self.send(payload=data[start:start + _CHUNK])
            self.nxt = self.nxt + len(data[start:start + _CHUNK]) & 0xFFFFFFFF

    def far_received(self):
        """Bytes of ours that arrived at the far end, or that the endpoint has taken."""
        if self.other is not None:
            return len(self.other.received)
        return (self.word("rcv_nxt") - self.iss - 1) & 0xFFFFFFFF

    def gone(self):
        """Nothing is left of the connection in the unit."""
        u = self.unit
        return not (u.in_use or u.keys or u.scratch or u.timers or u.half_open)

    def reset(self):
        """Return whether the far end was reset or refused."""
        return self.other is None or self.other.was("reset") or self.other.was("refused")
