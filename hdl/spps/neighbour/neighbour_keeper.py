"""Writes the neighbour table: what is heard, what is asked, what grows old."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import Event, EventKind
from ..layouts.neighbour import ARP_RESOLVE, MAC_BITS, NETWORKS, Learned
from ..lib.counters import Counters
from .entry import TICK_BITS, WAYS, Neighbour, NeighbourState, Note, note_layout, set_of
from .next_hop import NextHop
from .signature import NeighbourConfig, Networks

__all__ = ["NeighbourKeeper"]

_GROUP = 40                     # the bit of a MAC address that means broadcast or multicast
_BROADCAST = (1 << MAC_BITS) - 1


class NeighbourKeeper(wiring.Component):
    """Takes one thing after the other: an address that was heard, a note of the lookup, else the next entry's age.

    The walk over the entries is the only source of requests. So requests of an address keep their interval whatever
    frames come, and a request that finds no place waits in its entry.

    Parameters
    ----------
    params : SppsParams
        neighbours.

    Members
    -------
    i_learn : In(stream of Learned)
        Sender addresses of ARP packets.
    i_note : In(stream of note_layout)
        What the lookup has found.
    o_event : Out(stream of Event)
        ARP_RESOLVE: a request has to be sent.
    config : In(NeighbourConfig)
        Times.
    networks : In(Networks)
        Prefixes, gateways and our addresses.
    active : In(1)
        Requests are sent.
    now : In(TICK_BITS), ticks
        Time.
    r_en, r_row : Out(1), Out(range(neighbours))
        Read of the table.
    r_stall : In(1)
        The port reads for the lookup in this clock; nothing is written then either.
    r_data : In(Neighbour)
        The row, one clock later.
    w_en, w_row, w_data : Out(1), Out(range(neighbours)), Out(Neighbour)
        Write of the table.
    known : Out(range(neighbours + 1))
        Entries with a MAC address.
    count : Out(COUNTERS.layout)
        One pulse per occurrence.

    Timing
    ------
    6 clocks per entry of the walk, 9 to 18 per address heard, more while lookups read. Nothing waits for `o_event`.

    Drop
    ----
    refused, unsolicited, full : an address that was heard, or a next hop that is missing.

    Reset
    -----
    The table is cleared, one entry per clock; everything waits.

    Source
    ------
    RFC 826; RFC 1122 §2.3.2.1 (at most one request per second; unicast poll, then timeout).
    """

    COUNTERS = Counters({
        "requests": "ARP requests to every station that were handed to the cores",
        "polls": "ARP requests to the MAC address in use that were handed to the cores",
        "unanswered": "next hops given up after `arp_retries` requests without an answer",
        "learned": "addresses whose MAC address became known",
        "confirmed": "ARP packets with the MAC address that was known",
        "changed": "ARP packets with another MAC address than was known: it is used from then on",
        "aged": "addresses forgotten: out of use for `arp_age`, or asked for no more",
        "unsolicited": "ARP packets that were not for us, of a sender that is not in the table; ignored",
        "refused": "ARP packets whose sender has our IP address or one off the network, or a MAC address of zero or a "
                   "group; ignored",
        "full": "addresses not taken because all entries for them were in use",
    })

    def __init__(self, params):
        self._params = params
        super().__init__({
            "i_learn": In(stream.Signature(Learned)),
            "i_note": In(stream.Signature(note_layout(params))),
            "o_event": Out(stream.Signature(Event)),
            "config": In(NeighbourConfig()),
            "networks": In(Networks()),
            "active": In(1),
            "now": In(TICK_BITS),
            "r_en": Out(1),
            "r_row": Out(range(params.neighbours)),
            "r_stall": In(1),
            "r_data": In(Neighbour),
            "w_en": Out(1),
            "w_row": Out(range(params.neighbours)),
            "w_data": Out(Neighbour),
            "known": Out(range(params.neighbours + 1)),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        self._row = row = Signal(range(self._params.neighbours))
        self._walk = walk = Signal.like(row)
        self._entry, self._next = entry, following = Signal(Neighbour), Signal(Neighbour)
        # the task in hand: neither: age; search: an address that was heard, or is missing; else a mark of use
        self._search, self._learns, self._marks = Signal(), Signal(), Signal()
        self._learn, self._network, self._ip = Signal(Learned), Signal(range(NETWORKS)), Signal(32)
        self._way, self._hit = Signal(range(WAYS)), Signal()
        self._victim, self._victim_row, self._victim_free = Signal(), Signal.like(row), Signal()
        self._victim_valid, self._was_valid = Signal(), Signal()      # the row that is written had a MAC address
        self._pulse = Signal(self.COUNTERS.layout)
        m.d.sync += self.count.eq(self._pulse)
        m.d.comb += [self.r_row.eq(row), self.w_row.eq(row), self.w_data.eq(following)]
        with m.If(self.o_event.ready):
            m.d.sync += self.o_event.valid.eq(0)
        self._judge_sender(m)
        with m.FSM():
            with m.State("CLEAR"):
                m.d.comb += self.w_en.eq(1)
                m.d.sync += row.eq(row + 1)
                with m.If(row == self._params.neighbours - 1):
                    m.next = "CHOOSE"
            with m.State("CHOOSE"):
                self._choose(m)
            with m.State("READ"):
                m.d.comb += self.r_en.eq(1)
                with m.If(~self.r_stall):
                    m.next = "TAKE"
            with m.State("TAKE"):
                m.d.sync += entry.eq(self.r_data)
                m.next = "AGE"
                with m.If(self._search):
                    m.next = "LOOK"
                with m.Elif(self._marks):
                    m.next = "MARK"
            with m.State("MARK"):
                valid = entry.state == NeighbourState.VALID
                m.d.sync += [following.eq(entry), following.used.eq(1), self._was_valid.eq(1)]
                m.next = "CHOOSE"
                with m.If(valid):
                    m.next = "WRITE"
            with m.State("LOOK"):
                self._look(m)
            with m.State("PLACE"):
                self._place(m)
            with m.State("AGE"):
                m.d.sync += walk.eq(walk + 1)
                self._age(m)
            with m.State("JUDGE"):
                self._judge_age(m)
            with m.State("WRITE"):
                m.d.comb += self.w_en.eq(~self.r_stall)
                with m.If(~self.r_stall):
                    gains = (following.state == NeighbourState.VALID) & ~self._was_valid
                    loses = (following.state != NeighbourState.VALID) & self._was_valid
                    m.d.sync += self.known.eq(self.known + gains - loses)
                    m.next = "CHOOSE"
        return m

    def _judge_sender(self, m):
        """Judge the address in hand while the table is searched for it."""
        m.submodules.sender = sender = NextHop()
        wiring.connect(m, wiring.flipped(self.networks), sender.networks)
        mac = Cat(self._learn.body.mac_lo, self._learn.argument.mac_hi)
        top = self._ip[24:]
        self._mac, self._sound = mac, Signal()
        m.d.comb += [sender.network.eq(self._network), sender.ip.eq(self._ip)]
        m.d.sync += self._sound.eq(     # no address of a host: RFC 1122 §3.2.1.3
            (sender.inside | sender.gateway) & ~sender.own & (top != 0) & (top != 127) & (top < 224)
            & (mac != 0) & ~mac[_GROUP] & (self._learn.argument.iface < NETWORKS))

    def _choose(self, m):
        """State CHOOSE: the next task, and the first row it reads."""
        learn, note = self.i_learn.payload, self.i_note.payload
        m.d.sync += [self._way.eq(0), self._hit.eq(0), self._victim.eq(0), self._victim_free.eq(0)]
        m.d.sync += [self._search.eq(0), self._learns.eq(0), self._marks.eq(0)]
        m.next = "READ"
        with m.If(self.i_learn.valid):
            m.d.comb += self.i_learn.ready.eq(1)
            m.d.sync += [
                self._search.eq(1), self._learns.eq(1), self._learn.eq(learn),
                self._network.eq(learn.argument.iface), self._ip.eq(learn.body.ip),
                self._row.eq(Cat(0, 0, set_of(self._params, learn.argument.iface[0], learn.body.ip))),
            ]
        with m.Elif(self.i_note.valid):
            m.d.comb += self.i_note.ready.eq(1)
            m.d.sync += [
                self._search.eq(note.note == Note.MISSED), self._marks.eq(note.note == Note.USED),
                self._network.eq(note.network), self._ip.eq(note.ip),
                self._row.eq(Mux(note.note == Note.USED, note.row,
                                 Cat(0, 0, set_of(self._params, note.network, note.ip)))),
            ]
        with m.Else():
            m.d.sync += self._row.eq(self._walk)

    def _look(self, m):
        """State LOOK: is the entry of this way the one searched for, or one that may be replaced.

        Only an entry out of use is replaced, so that addresses that come and go do not drive those in use out: not even
        one that was heard just now and has had no frame since.
        """
        entry, last = self._entry, self._way == WAYS - 1
        free = entry.state == NeighbourState.FREE
        idle = (entry.state == NeighbourState.FAILED) | (
            (entry.state == NeighbourState.VALID) & ~entry.used & ~entry.recent)
        m.d.sync += [self._way.eq(self._way + 1), self._row[:2].eq(self._way + 1)]
        m.next = "READ"
        with m.If(~free & (entry.ip == self._ip)):
            m.d.sync += [self._hit.eq(1), self._row.eq(self._row)]
            m.next = "PLACE"
        with m.Else():
            with m.If(free & ~self._victim_free | idle & ~self._victim):
                m.d.sync += [
                    self._victim.eq(1), self._victim_free.eq(free), self._victim_row.eq(self._row),
                    self._victim_valid.eq(entry.state == NeighbourState.VALID),
                ]
            with m.If(last):
                m.next = "PLACE"

    def _place(self, m):
        """State PLACE: what becomes of an address that was heard or is missing."""
        entry, following, pulse, mac = self._entry, self._next, self._pulse, self._mac
        create = self._learn.argument.create
        was_valid = self._hit & (entry.state == NeighbourState.VALID)
        m.next = "WRITE"
        m.d.sync += [
            following.state.eq(Mux(self._learns, NeighbourState.VALID, NeighbourState.RESOLVING)),
            # a frame waits for an address that was asked for
            following.used.eq(~self._learns | self._hit & (entry.state == NeighbourState.RESOLVING)),
            following.recent.eq(was_valid & (entry.used | entry.recent)),
            following.tries.eq(0), following.ip.eq(self._ip), following.mac.eq(mac),
            following.deadline.eq(self.now + self.config.arp_age),
            self._was_valid.eq(Mux(self._hit, was_valid, self._victim_valid)),
        ]
        with m.If(~self._hit):
            m.d.sync += self._row.eq(self._victim_row)
        with m.If(self._learns & ~self._sound):
            m.d.comb += pulse.refused.eq(1)
            m.next = "CHOOSE"
        with m.Elif(self._learns & ~self._hit & ~create):
            m.d.comb += pulse.unsolicited.eq(1)
            m.next = "CHOOSE"
        with m.Elif(~self._hit & ~self._victim):
            m.d.comb += pulse.full.eq(1)
            m.next = "CHOOSE"
        with m.Elif(self._learns):
            m.d.comb += [
                pulse.learned.eq(~was_valid), pulse.changed.eq(was_valid & (entry.mac != mac)),
                pulse.confirmed.eq(was_valid & (entry.mac == mac)),
            ]
        with m.Elif(self._hit):     # has come since the lookup
            m.next = "CHOOSE"

    def _age(self, m):
        """State AGE: how long the state of the entry may last, and how much of that is left."""
        entry, config = self._entry, self.config
        self._left, self._period = Signal(TICK_BITS), Signal(TICK_BITS)
        with m.Switch(entry.state):
            with m.Case(NeighbourState.FAILED):
                m.d.sync += self._period.eq(config.arp_holdoff)
            with m.Default():
                m.d.sync += self._period.eq(Mux(
                    (entry.state == NeighbourState.VALID) & (entry.tries == 0), config.arp_age, config.arp_interval))
        m.d.sync += [self._left.eq(entry.deadline - self.now), self._was_valid.eq(entry.state == NeighbourState.VALID)]
        m.next = "JUDGE"
        with m.If(entry.state == NeighbourState.FREE):
            m.next = "CHOOSE"

    def _judge_age(self, m):
        """State JUDGE: an entry whose time is over is asked for, given up or forgotten.

        More time left than the state may last means that the time is over, or that the clock or the register has
        changed.
        """
        entry, following, config, pulse = self._entry, self._next, self.config, self._pulse
        event = self.o_event.payload
        network = self._row[-1]
        valid, resolving = entry.state == NeighbourState.VALID, entry.state == NeighbourState.RESOLVING
        due, asks, wanted = Signal(), Signal(), Signal()
        m.d.comb += [
            due.eq((self._left == 0) | (self._left > self._period) | resolving & (entry.tries == 0)),
            wanted.eq(self.active & (resolving | valid & ((entry.tries != 0) | entry.used))),
            asks.eq(wanted & (entry.tries < config.arp_retries)),
        ]
        m.d.sync += following.eq(entry)
        m.next = "CHOOSE"
        with m.If(due & asks):
            with m.If(~self.o_event.valid):     # else in the next round
                poll = valid & (entry.tries == 0)
                m.d.comb += [pulse.polls.eq(poll), pulse.requests.eq(~poll)]
                mac = Mux(poll, entry.mac, _BROADCAST)
                m.d.sync += [
                    following.tries.eq(entry.tries + 1), following.deadline.eq(self.now + config.arp_interval),
                    self.o_event.valid.eq(1), event.kind.eq(EventKind.ARP), event.subtype.eq(ARP_RESOLVE),
                    event.iface.eq(network), event.src_ip.eq(entry.ip),
                    event.dst_ip.eq(self.networks.vip[network]),
                    event.src_mac_lo.eq(mac[:32]), event.src_mac_hi.eq(mac[32:]),
                ]
                m.next = "WRITE"
        with m.Elif(due):
            given_up = wanted & (entry.tries != 0)
            m.d.comb += [pulse.unanswered.eq(given_up), pulse.aged.eq(~given_up & valid)]
            m.d.sync += [
                following.state.eq(Mux(given_up, NeighbourState.FAILED, NeighbourState.FREE)),
                following.deadline.eq(self.now + config.arp_holdoff),
            ]
            m.next = "WRITE"
