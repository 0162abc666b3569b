"""Which address a datagram goes to first."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts.neighbour import NETWORKS
from .signature import Networks

__all__ = ["NextHop"]


class NextHop(wiring.Component):
    """Next hop of a destination: itself within the prefix of its network, else the gateway (RFC 1122 §3.3.1.1).

    Members
    -------
    networks : In(Networks)
        Prefixes, gateways and our addresses.
    network : In(range(NETWORKS))
        Network.
    ip : In(32)
        Destination.
    hop : Out(32)
        Next hop, 0: none.
    gateway : Out(1)
        `ip` is the gateway of its network.
    inside : Out(1)
        `ip` is within the prefix.
    own : Out(1)
        `ip` is our address.

    Timing
    ------
    Combinational.

    Reset
    -----
    None.

    Source
    ------
    RFC 1122 §3.3.1.1.
    """

    def __init__(self):
        super().__init__({
            "networks": In(Networks()),
            "network": In(range(NETWORKS)),
            "ip": In(32),
            "hop": Out(32),
            "gateway": Out(1),
            "inside": Out(1),
            "own": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        vip, mask, gateway = Signal(32), Signal(32), Signal(32)
        m.d.comb += [
            vip.eq(self.networks.vip[self.network]), mask.eq(self.networks.mask[self.network]),
            gateway.eq(self.networks.gateway[self.network]),
            self.inside.eq(((self.ip ^ vip) & mask) == 0), self.own.eq(self.ip == vip),
            self.gateway.eq(self.ip == gateway), self.hop.eq(Mux(self.inside, self.ip, gateway)),
        ]
        return m
