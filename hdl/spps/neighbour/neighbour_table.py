"""MAC addresses of next hops."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..layouts.event import Event
from ..layouts.neighbour import NETWORKS, HopAnswer, HopQuery, Learned
from .entry import TICK_BITS, Neighbour
from .hop_lookup import HopLookup
from .neighbour_keeper import NeighbourKeeper
from .signature import NeighbourConfig

__all__ = ["NeighbourTable"]


class NeighbourTable(wiring.Component):
    """Cache of MAC addresses: egress asks it for each datagram, programs tell it of ARP packets, it asks for requests.

    Parameters
    ----------
    params : SppsParams
        neighbours: number of entries.

    Members
    -------
    i_query : In(stream of HopQuery)
        Datagrams that leave.
    o_answer : Out(stream of HopAnswer)
        One answer each.
    i_learn : In(stream of Learned)
        LEARN messages of the cores.
    o_event : Out(stream of Event)
        ARP_RESOLVE: requests that a core has to send.
    config : In(NeighbourConfig)
        Registers.
    vip : In(32 × NETWORKS)
        Our address on each network.
    now : In(32), ticks
        Time.
    active : In(1)
        Frames leave: next hops are asked for.
    known : Out(range(neighbours + 1))
        Next hops whose MAC address is known.
    count : Out(COUNTERS.layout)
        One pulse per occurrence; resolved + missed + no_hop = queries, and learned + confirmed + changed +
        unsolicited + refused = LEARN messages that were not `full`.

    Timing
    ------
    See HopLookup and NeighbourKeeper. Queries wait for nothing but their answer to be taken. LEARN waits for at most
    two entries' work; `o_event` makes nothing wait, so that cores may wait for the table and the table never for cores.

    Drop
    ----
    Addresses that are heard or missing, see NeighbourKeeper.

    Reset
    -----
    Empty after one clock per entry.

    Source
    ------
    RFC 826; RFC 1122 §2.3.2, §3.3.1.
    """

    COUNTERS = HopLookup.COUNTERS | NeighbourKeeper.COUNTERS

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i_query": In(stream.Signature(HopQuery)),
            "o_answer": Out(stream.Signature(HopAnswer)),
            "i_learn": In(stream.Signature(Learned)),
            "o_event": Out(stream.Signature(Event)),
            "config": In(NeighbourConfig()),
            "vip": In(data.ArrayLayout(32, NETWORKS)),
            "now": In(32),
            "active": In(1),
            "known": Out(range(params.neighbours + 1)),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.lookup = lookup = HopLookup(self._params)
        m.submodules.keeper = keeper = NeighbourKeeper(self._params)
        # nothing is written in a clock in which something is read
        m.submodules.entries = entries = Memory(shape=Neighbour, depth=self._params.neighbours, init=[],
                                                attrs={"no_rw_check": 1})
        write, read = entries.write_port(), entries.read_port()
        wiring.connect(m, wiring.flipped(self.i_query), lookup.i)
        wiring.connect(m, lookup.o, wiring.flipped(self.o_answer))
        wiring.connect(m, wiring.flipped(self.i_learn), keeper.i_learn)
        wiring.connect(m, lookup.o_note, keeper.i_note)
        wiring.connect(m, keeper.o_event, wiring.flipped(self.o_event))
        wiring.connect(m, wiring.flipped(self.config), keeper.config)
        masks = Signal(data.ArrayLayout(32, NETWORKS))
        for n in range(NETWORKS):
            prefix = getattr(self.config, f"prefix_{n}")
            m.d.sync += masks[n].eq(Cat(prefix >= 32 - bit for bit in range(32)))
            for networks in (lookup.networks, keeper.networks):
                m.d.comb += [
                    networks.vip[n].eq(self.vip[n]), networks.mask[n].eq(masks[n]),
                    networks.gateway[n].eq(getattr(self.config, f"gateway_{n}")),
                ]
        m.d.comb += [
            lookup.enable.eq(self.active), keeper.active.eq(self.active), keeper.now.eq(self.now[:TICK_BITS]),
            read.en.eq(lookup.r_en | keeper.r_en), keeper.r_stall.eq(lookup.r_en),
            read.addr.eq(Mux(lookup.r_en, lookup.r_row, keeper.r_row)),
            lookup.r_data.eq(read.data), keeper.r_data.eq(read.data),
            write.en.eq(keeper.w_en), write.addr.eq(keeper.w_row), write.data.eq(keeper.w_data),
            self.known.eq(keeper.known),
            self.count.eq(Cat(lookup.count, keeper.count)),
        ]
        return m
