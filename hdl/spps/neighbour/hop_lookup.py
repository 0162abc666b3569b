"""Reads the neighbour table for egress."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.neighbour import NETWORKS, HopAnswer, HopQuery
from ..lib.counters import Counters
from .entry import WAYS, Neighbour, NeighbourState, Note, note_layout, set_of
from .next_hop import NextHop
from .signature import Networks

__all__ = ["HopLookup"]


class HopLookup(wiring.Component):
    """Answers where a datagram goes; writes nothing, but notes for the keeper what it has found.

    Parameters
    ----------
    params : SppsParams
        neighbours.

    Members
    -------
    i : In(stream of HopQuery)
        Datagrams.
    o : Out(stream of HopAnswer)
        One answer each.
    networks : In(Networks)
        Prefixes and gateways.
    enable : In(1)
        Notes are made.
    r_en : Out(1)
        Read of the table.
    r_row : Out(range(neighbours))
        Row.
    r_data : In(Neighbour)
        The row, one clock later.
    o_note : Out(stream of note_layout)
        A next hop that is missing or in use. One note is held; the others are lost, and the next frames make them
        again.
    count : Out(COUNTERS.layout)
        One pulse per query.

    Timing
    ------
    Latency 4 clocks for an address in the first way, 7 at most. One query at a time; `i` waits until the answer is
    taken.

    Drop
    ----
    Notes while one waits.

    Reset
    -----
    Idle.

    Source
    ------
    RFC 1122 §3.3.1.1.
    """

    COUNTERS = Counters({
        "resolved": "frames whose next hop has a known MAC address",
        "missed": "frames whose next hop has none",
        "no_hop": "frames without a next hop: no address of ours on the port, or outside the prefix and no gateway",
    })

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i": In(stream.Signature(HopQuery)),
            "o": Out(stream.Signature(HopAnswer)),
            "networks": In(Networks()),
            "enable": In(1),
            "r_en": Out(1),
            "r_row": Out(range(params.neighbours)),
            "r_data": In(Neighbour),
            "o_note": Out(stream.Signature(note_layout(params))),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.next_hop = next_hop = NextHop()
        wiring.connect(m, wiring.flipped(self.networks), next_hop.networks)
        hop, network, routed = Signal(32), Signal(range(NETWORKS)), Signal()
        query, answer, note = self.i.payload, self.o.payload, self.o_note.payload
        step = Signal(range(WAYS + 2))      # way `step` is read, way `step` - 2 is in `entry`
        entry, place = Signal(Neighbour), Signal.like(set_of(self._params, network, hop))
        matches = Signal()
        m.d.comb += [
            next_hop.network.eq(query.iface), next_hop.ip.eq(query.ip),
            place.eq(set_of(self._params, network, hop)), self.r_row.eq(Cat(step[:2], place)),
            matches.eq((entry.state != NeighbourState.FREE) & (entry.ip == hop)),
        ]
        m.d.sync += entry.eq(self.r_data)
        with m.If(self.o_note.ready):
            m.d.sync += self.o_note.valid.eq(0)
        with m.FSM():
            with m.State("ACCEPT"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [
                    hop.eq(next_hop.hop), network.eq(query.iface), routed.eq(query.iface < NETWORKS), step.eq(0),
                    answer.found.eq(0),
                ]
                with m.If(self.i.valid):
                    m.next = "SEARCH"
            with m.State("SEARCH"):
                valid = entry.state == NeighbourState.VALID
                last = step == WAYS + 1
                none = ~routed | (hop == 0)
                m.d.comb += self.r_en.eq(step < WAYS)
                m.d.sync += [step.eq(step + 1), answer.mac.eq(entry.mac)]
                with m.If((step == 0) & none):
                    m.d.comb += self.count.no_hop.eq(1)
                    m.next = "ANSWER"
                with m.Elif((step >= 2) & (matches | last)):
                    m.d.sync += answer.found.eq(matches & valid)
                    m.d.comb += [self.count.resolved.eq(matches & valid), self.count.missed.eq(~matches | ~valid)]
                    with m.If(self.enable & ~self.o_note.valid & (~matches | valid & ~entry.used)):
                        m.d.sync += [
                            self.o_note.valid.eq(1), note.note.eq(Mux(matches, Note.USED, Note.MISSED)),
                            note.network.eq(network), note.ip.eq(hop), note.row.eq(Cat((step - 2)[:2], place)),
                        ]
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.next = "ACCEPT"
        return m
