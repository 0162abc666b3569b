"""What a test of the checklist looks at: one leg of the pair with Linux on it, and whatever lies behind."""
import socket
import struct

from spps_sim.checker.wire import ACK, SYN
from spps_sim.network.testbed import Addresses
from tests.linux.env_linux import CLIENT, ECHO, PORT, SERVER
from tests.linux.linux_frames import flags

__all__ = ["LEGS", "LinuxLeg", "simultaneous_open", "SMALL", "LINGER"]

LEGS = ("C", "V", "E")
SMALL = (socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
LINGER = (socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))     # close() resets


class LinuxLeg:
    """A connection seen from one of its ends.

    name, as in CHECKLIST.md: C towards the client, V towards the server, E the pair's own echo. near: the socket of
    Linux on this leg; far: that on the other one, to E the same again, for what is sent there comes back. side,
    far_side: their ports of the pair.
    """

    def __init__(self, peers, name):
        self.peers, self.name = peers, name
        self.side = SERVER if name == "V" else CLIENT
        self.far_side = self.side if name == "E" else 1 - self.side
        self.port = ECHO if name == "E" else PORT

    @staticmethod
    def mode(name):
        """Of the pair that has this leg."""
        return "endpoint" if name == "E" else "proxy"

    def open(self, near=(), far=()):
        """Connect; near, far: options of the sockets."""
        if self.name == "E":
            self.near = self.far = self.peers.echo(self.side, near)
        else:
            pair = self.peers.connected(*((near, far) if self.side == CLIENT else (far, near)))
            self.near, self.far = pair[self.side], pair[self.far_side]
        return self

    def at_rest(self, near=(), far=()):
        """Connect, show that it works, and forget the segments of that."""
        self.open(near, far).works()
        self.peers.settle()
        self.peers.mark()
        return self

    def works(self, size=3000):
        """Bytes go both ways."""
        if self.name == "E":
            self.out(self.peers.bytes(size))
            return
        there, back = self.peers.bytes(size), self.peers.bytes(size)
        steps = [self.peers.pushing(self.near, there), self.peers.pushing(self.far, back)]
        pulls = [self.peers.pulling(self.far, there), self.peers.pulling(self.near, back)]

        def step():
            for push in steps:
                push()
            return all([pull() for pull in pulls])
        self.peers.until(step, f"{size} bytes both ways", 60)

    def out(self, data):
        """Data from the near Linux arrives at the far one."""
        self.peers.moved(self.near, self.far, data)

    def back(self, data):
        """Data from the far Linux arrives at the near one."""
        self.peers.moved(self.far, self.near, data)

    def ours(self, wanted=lambda segment: True):
        """Segments of the pair on this leg."""
        return [p.segment for p in self.peers.passed(self.side, True, wanted)]

    def theirs(self, wanted=lambda segment: True):
        """Segments of Linux on this leg."""
        return [p.segment for p in self.peers.passed(self.side, False, wanted)]

    def times(self, wanted=lambda segment: True):
        """Cycles at which the pair sent them."""
        return [p.cycle for p in self.peers.passed(self.side, True, wanted)]

    def once(self, from_pair, wanted, act=lambda data: []):
        return self.peers.once(self.side, from_pair, wanted, act)

    def cut(self, from_pair, wanted=lambda segment: True):
        return self.peers.cut(self.side, from_pair, wanted)

    def forge(self, **what):
        self.peers.forge(self.side, **what)

    def answer(self, wanted=lambda segment: True):
        """The pair's next segment on this leg."""
        return self.peers.until(lambda: self.ours(wanted), "an answer")[0]


def simultaneous_open(leg):
    """Connect a leg towards the server whose near socket opens itself, while the pair's SYNs are lost."""
    peers = leg.peers
    rule = leg.cut(True, lambda segment: segment.flags == SYN)
    leg.far = peers.socket(leg.far_side)
    leg.far.connect_ex((Addresses.vip[leg.far_side], PORT))
    syn = leg.answer(flags(SYN))
    leg.near.bind((Addresses.server, PORT))
    leg.near.connect_ex((Addresses.vip[leg.side], syn.src[1]))
    leg.answer(flags(SYN, ACK))
    for made in (leg.near, leg.far):
        peers.opened(made)
    peers.lift(rule)
