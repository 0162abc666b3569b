"""Gratuitous ARP of a unit that has become the active one."""
from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.headers import ARP_BYTES, ETHERNET_BYTES, ArpOperation, EtherType
from ..layouts.neighbour import MAC_BITS, NETWORKS
from ..layouts.packet import packet_signature
from ..lib.counters import Counters
from .signature import INTERVAL_BITS, AnnounceConfig

__all__ = ["Announcer"]

_MIN_FRAME = 60                                 # Ethernet's shortest frame, without FCS
_HARDWARE, _LENGTHS = 1, 0x0604                 # Ethernet; bytes of its addresses and of IPv4's
_BROADCAST = (1 << MAC_BITS) - 1


class Announcer(wiring.Component):
    """Tells every network, when this unit becomes the active one, that our address is at our MAC address, and here.

    Both units of a pair have the same MAC address. A switch learns from the frames which of its ports leads to the
    active one, and a host that has an entry of our address gets its MAC address. An announcement is an ARP request,
    and then an ARP reply, to all stations, with our address as sender and as target: hosts differ in which of the two
    they heed. The first one of a network leaves at once, the others follow every `announce_interval`, until
    `announce_count` have left since the unit became active.

    A network without an address of ours is skipped until it has one. While the unit is active and may not emit, its
    announcements wait.

    Parameters
    ----------
    params : SppsParams
        data_width.

    Members
    -------
    o : Out(stream of packet)
        Frames of 60 bytes without a VLAN tag, as all frames of ours; `port` is the network.
    config : In(AnnounceConfig)
        Number and interval of announcements.
    mac : In(48)
        Own MAC address, constant while the unit is active.
    vip : In(32 × NETWORKS), IPv4 addresses
        Own address on each network, 0: none.
    now : In(32), ticks
        Tick counter.
    active : In(1)
        This unit is the active one. 0: the announcements begin anew with the next 1.
    enable : In(1)
        Frames may leave.
    count : Out(COUNTERS.layout)
        One pulse per frame.

    Timing
    ------
    Latency 2 clocks from `active` and `enable` to the first word. Throughput 1 word per clock within a frame, a clock
    between two frames. `o` is never withdrawn: a frame that was offered and may not leave any more is dropped in
    egress.

    Drop
    ----
    Announcements that have not left when the unit is no longer active.

    Reset
    -----
    None has left: a unit that is active then announces itself.

    Source
    ------
    RFC 5227 §2.3 (request form), §3; RFC 5944 §4.6 (reply form); RFC 826.
    """

    COUNTERS = Counters({
        "announcements": "gratuitous ARP frames, requests and replies, that were handed to egress",
    })

    def __init__(self, params):
        self._params = params
        super().__init__({
            "o": Out(packet_signature(params.data_width)),
            "config": In(AnnounceConfig()),
            "mac": In(MAC_BITS), "vip": In(data.ArrayLayout(32, NETWORKS)), "now": In(32),
            "active": In(1), "enable": In(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        sending, reply, network = Signal(), Signal(), Signal(range(NETWORKS))
        wants = Signal(NETWORKS)
        for n in range(NETWORKS):
            mine = sending & reply & (network == n) & self.o.valid & self.o.ready & self.o.p.last
            self._schedule(m, n, wants[n], mine)
        with m.If(~sending):
            m.d.sync += [network.eq(Mux(wants[0], 0, 1)), reply.eq(0), sending.eq(wants.any())]
        with m.Elif(self.o.valid & self.o.ready & self.o.p.last):
            m.d.comb += self.count.announcements.eq(1)
            m.d.sync += [reply.eq(1), sending.eq(~reply)]
        self._send(m, sending, reply, network)
        return m

    def _schedule(self, m, n, wants, announced):
        """Count the announcements of network n; `wants`: one is due."""
        config = self.config
        sent, since = Signal.like(config.announce_count, name=f"sent_{n}"), Signal(INTERVAL_BITS + 1)
        waited = Signal(INTERVAL_BITS + 1)      # ticks
        m.d.comb += [
            waited.eq((self.now[:INTERVAL_BITS + 1] - since)[:INTERVAL_BITS + 1]),
            wants.eq(self.active & self.enable & (sent < config.announce_count) & (self.vip[n] != 0)
                     & ((sent == 0) | (waited >= config.announce_interval))),
        ]
        with m.If(announced):
            m.d.sync += [sent.eq(sent + 1), since.eq(self.now[:INTERVAL_BITS + 1])]
        with m.If(~self.active):
            m.d.sync += sent.eq(0)

    def _send(self, m, sending, reply, network):
        """The frame, word by word, while `sending`."""
        size, width, out = self._params.data_bytes, self._params.data_width, self.o
        vip = self.vip[network]
        fields = (              # in the order of the wire
            Const(_BROADCAST, MAC_BITS), self.mac, Const(EtherType.ARP.value, 16),
            Const(_HARDWARE, 16), Const(EtherType.IPV4.value, 16), Const(_LENGTHS, 16),
            Mux(reply, ArpOperation.REPLY.value, ArpOperation.REQUEST.value),
            self.mac, vip, Mux(reply, self.mac, 0), vip,
        )
        widths = (48, 48, 16, 16, 16, 16, 16, 48, 32, 48, 32)
        parts = [Signal(bits, name=f"field_{at}") for at, bits in enumerate(widths)]
        m.d.comb += [part.eq(field) for part, field in zip(parts, fields)]
        words = -(-_MIN_FRAME // size)
        frame = Cat(Const(0, 8 * (words * size - ETHERNET_BYTES - ARP_BYTES)), *reversed(parts))
        at = Signal(range(words))
        with m.If(out.ready):
            m.d.sync += out.valid.eq(0)
        with m.If(sending & ~out.valid | out.valid & out.ready & ~out.p.last):
            m.d.sync += [
                out.valid.eq(1), out.p.last.eq(at == words - 1), out.p.port.eq(network),
                out.p.empty.eq(Mux(at == words - 1, words * size - _MIN_FRAME, 0)),
                at.eq(Mux(at == words - 1, 0, at + 1)),
            ]
            with m.Switch(at):
                for n in range(words):
                    with m.Case(n):
                        top = len(frame) - n * width
                        m.d.sync += out.p.data.eq(frame[top - width:top])
        m.d.comb += out.p.err.eq(0)
