"""What the director does with an arriving event."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import Delivery, TimerAnswer
from ..layouts.dma import ClusterDma, DmaOp
from ..layouts.event import Event
from ..layouts.lookup import LookupCommand, LookupOp
from ..lib.counters import Counters
from .core_choice import CoreChoice
from .ports import FlowSearch, RestartSearch, SlotReturn

__all__ = ["Dispatch"]


class Dispatch(wiring.Component):
    """Takes one event at a time, asks the CAM, chooses the core and delivers.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.
    conn_bits : int
        Bits of a connection number in the CAM.

    Members
    -------
    i_event : In(stream of Event)
        Events of the lookup controller.
    i_timer : In(stream of Event)
        Timer events.
    o_answer : Out(stream of TimerAnswer)
        One per timer event, in order: taken or refused.
    o_delivery : Out(stream of Delivery)
        Events for cores.
    o_dma : Out(stream of ClusterDma)
        LOAD and CLEAR commands.
    o_free : Out(stream of LookupCommand)
        DELETE and FREE for a new connection whose first event no core takes.
    o_drop : Out(stream of 16 bits)
        Scratch references of dropped events.
    masks : In(16), total_cores times
        Bit k of a mask: the core takes events of kind k.
    core_enable : In(total_cores)
        Cores that may get events.
    round_robin : In(1)
        As in CoreChoice.
    search : Out(FlowSearch)
        The flow in the CAM.
    restart : Out(RestartSearch)
        The flow in the restart marks.
    slots : In(SlotReturn)
        Event slots given back.
    outstanding : Out(range(event_slots + 1)), total_cores times, events
        Deliveries without a Done.
    count : Out(COUNTERS.layout)
        Pulses.

    Timing
    ------
    Latency 4 clocks. Throughput one event per 6 clocks. An event that must wait repeats MATCH, SELECT and DECIDE; a
    Done may commit in each MATCH. A timer event never waits. An answer that waits holds the next timer event and no
    other event. `i_event.ready` is combinational in `i_timer.valid`, `i_timer.ready` in `i_event.valid`.

    Drop
    ----
    no_core : the event is dropped; its payload is released and its connection, if new, given back.

    Reset
    -----
    Idle; events wait until the restart marks are ready.

    Source
    ------
    Patent §VIII, F5 (steps 502 to 520).
    """

    COUNTERS = Counters({
        "delivered": "events given to cores, timer events included",
        "timers": "timer events given to cores",
        "timer_refused": "timer events refused because their flow had events or no core could take them",
        "held": "events that waited for a write-back, an event slot or a workspace",
        "resumed": "events for a flow that was resident at a core, which need no LOAD",
        "restarted": "events that restart a flow which lost events",
        "no_core": "events of a kind that no core takes, dropped",
    })

    def __init__(self, params, conn_bits):
        self.params = params
        cores = params.total_cores
        self.entries = entries = cores * params.workspaces
        super().__init__({
            "i_event": In(stream.Signature(Event)),
            "i_timer": In(stream.Signature(Event)),
            "o_answer": Out(stream.Signature(TimerAnswer)),
            "o_delivery": Out(stream.Signature(Delivery)),
            "o_dma": Out(stream.Signature(ClusterDma)),
            "o_free": Out(stream.Signature(LookupCommand)),
            "o_drop": Out(stream.Signature(unsigned(16))),
            "masks": In(data.ArrayLayout(unsigned(16), cores)), "core_enable": In(cores), "round_robin": In(1),
            "search": Out(FlowSearch(entries, conn_bits)), "restart": Out(RestartSearch(conn_bits)),
            "slots": In(SlotReturn(cores)),
            "outstanding": Out(data.ArrayLayout(range(params.event_slots + 1), cores)),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        search, slots, answer = self.search, self.slots, self.o_answer
        event = self.o_delivery.payload.event       # stays in the output register from arrival on
        self._from_timer = from_timer = Signal()
        self._waited = waited = Signal()
        self._known, self._may_add = Signal(), Signal()     # busy at a core; can join what is there
        self._held_by = Signal(self.entries)                # the entry of the event's flow
        prefer_timer, timer_free = Signal(), Signal()
        takes = self._watch_cores(m)
        m.d.comb += [
            search.conn.eq(event.conn), search.new.eq(event.new), self.restart.conn.eq(event.conn),
            timer_free.eq(self.restart.ready & ~answer.valid),
        ]
        self._name_commands(m, event)
        for output in (answer, self.o_delivery, self.o_dma, self.o_drop):
            with m.If(output.ready):
                m.d.sync += output.valid.eq(0)

        with m.FSM():
            with m.State("ACCEPT"):
                m.d.comb += [
                    self.i_event.ready.eq(self.restart.ready & ~(self.i_timer.valid & prefer_timer & timer_free)),
                    self.i_timer.ready.eq(timer_free & (prefer_timer | ~self.i_event.valid)),
                ]
                m.d.sync += waited.eq(0)
                with m.If(self.i_event.valid & self.i_event.ready):
                    m.d.sync += [event.eq(self.i_event.payload), from_timer.eq(0), prefer_timer.eq(1)]
                    m.next = "MATCH"
                with m.Elif(self.i_timer.valid & self.i_timer.ready):
                    m.d.sync += [event.eq(self.i_timer.payload), from_timer.eq(1), prefer_timer.eq(0)]
                    m.next = "MATCH"
            with m.State("MATCH"):
                m.next = "SELECT"
            with m.State("SELECT"):
                m.d.comb += slots.frozen.eq(1)
                usable = search.open | (search.resident & (~event.new).replicate(self.entries))
                places = self.params.workspaces
                joins = Cat(search.match[e] & usable[e] & takes[e // places] for e in range(self.entries))
                m.d.sync += [
                    self._known.eq((search.match & search.busy).any()),
                    self._held_by.eq(joins), self._may_add.eq(joins.any()),
                ]
                m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.comb += slots.frozen.eq(1)
                self._decide(m, event)
            with m.State("DELIVER"):
                with m.If((~self.o_delivery.valid | self.o_delivery.ready) & (~self.o_dma.valid | self.o_dma.ready)):
                    m.next = "ACCEPT"
            with m.State("DROP"):
                with m.If(~self.o_drop.valid | self.o_drop.ready):
                    m.d.sync += [
                        self.o_drop.payload.eq(event.scratch_ref), self.o_drop.valid.eq(event.payload_len != 0),
                    ]
                    m.next = "ACCEPT"
                    with m.If(event.new):
                        m.next = "DELETE_KEY"
            for state, op, following in (("DELETE_KEY", LookupOp.DELETE, "FREE_CONN"),
                                         ("FREE_CONN", LookupOp.FREE, "ACCEPT")):
                with m.State(state):
                    m.d.comb += [self.o_free.valid.eq(1), self.o_free.payload.op.eq(op)]
                    with m.If(self.o_free.ready):
                        m.next = following
        return m

    def _watch_cores(self, m):
        """Find the best core and a workspace of each. Returns the cores that take the event's kind and have a slot."""
        p, event = self.params, self.o_delivery.payload.event
        cores, places = p.total_cores, p.workspaces
        m.submodules.core_choice = self._choice = choice = CoreChoice(cores, p.event_slots.bit_length())
        self._last = Signal.like(choice.core)
        m.d.comb += [choice.last.eq(self._last), choice.round_robin.eq(self.round_robin)]
        kind = event.kind.as_value()
        self._compatible = compatible = Signal(cores)
        takes, room = Signal(cores), Signal(cores)      # mask, enabled and slot; a workspace
        # of the workspaces that are not busy the one that was filled longest ago
        self._victim = victim = [Signal(range(places), name=f"victim_{c}") for c in range(cores)]
        self._oldest = oldest = [Signal(range(places), name=f"oldest_{c}") for c in range(cores)]
        outstanding = self.outstanding
        self._slot_used = slot_used = Signal(cores)
        for c in range(cores):
            busy = self.search.busy[c * places:(c + 1) * places]
            m.d.comb += [
                compatible[c].eq(self.masks[c].bit_select(kind[:4], 1) & (kind < 16)),
                self.slots.occupied[c].eq(outstanding[c] != 0),
                choice.load[c].eq(outstanding[c]),
                choice.eligible[c].eq(takes[c] & (event.noflow | room[c])),
            ]
            # Sampled a clock early; until the decision only Dones come in between, and they make both better.
            m.d.sync += [
                takes[c].eq(compatible[c] & self.core_enable[c] & (outstanding[c] != p.event_slots)),
                room[c].eq(~busy.all()),
                outstanding[c].eq(outstanding[c] + slot_used[c] - self.slots.back[c]),
            ]
            for turn in reversed(range(places)):
                w = Signal(range(places), name=f"place_{c}_{turn}")
                m.d.comb += w.eq(oldest[c] + turn)
                with m.If(~busy.bit_select(w, 1)):
                    m.d.sync += victim[c].eq(w)
        return takes

    def _name_commands(self, m, event):
        """Names the workspace in `o_dma`, and the connection and key of `event` in `o_free`."""
        delivery, load, command = self.o_delivery.payload, self.o_dma.payload, self.o_free.payload
        m.d.comb += [
            load.command.op.eq(Mux(event.new, DmaOp.CLEAR, DmaOp.LOAD)), load.command.conn.eq(event.conn),
            load.cluster.eq(delivery.cluster), load.command.core.eq(delivery.core),
            load.command.workspace.eq(delivery.workspace),
            command.conn.eq(event.conn),
            command.key.src_ip.eq(event.src_ip), command.key.dst_ip.eq(event.dst_ip),
            command.key.src_port.eq(event.src_port), command.key.dst_port.eq(event.dst_port),
            command.key.protocol.eq(event.protocol), command.key.iface.eq(event.iface),
        ]

    def _decide(self, m, event):
        """State DECIDE: deliver, refuse, drop or look again."""
        count, from_timer, known, may_add = self.count, self._from_timer, self._known, self._may_add
        best, found = self._choice.core, self._choice.found
        unknown = event.noflow | ~(known | may_add)
        go = Signal()
        m.d.comb += go.eq((unknown & found) | (~unknown & may_add & ~(from_timer & known)))
        with m.If(from_timer):
            answer = self.o_answer.payload
            m.d.sync += [self.o_answer.valid.eq(1), answer.conn.eq(event.conn), answer.taken.eq(go)]
        with m.If(go):
            m.d.comb += [count.delivered.eq(1), count.timers.eq(from_timer)]
            m.d.sync += self.o_delivery.valid.eq(1)
            m.next = "DELIVER"
            with m.If(unknown):
                self._place(m, best)
                m.d.sync += self._last.eq(best)
            with m.Else():
                m.d.comb += count.resumed.eq(~known)
                self._join(m)
        with m.Elif(from_timer):
            m.d.comb += count.timer_refused.eq(1)
            m.next = "ACCEPT"
        with m.Elif(self._compatible == 0):
            m.d.comb += count.no_core.eq(1)
            m.next = "DROP"
        with m.Else():
            m.d.comb += count.held.eq(~self._waited)
            m.d.sync += self._waited.eq(1)
            m.next = "MATCH"

    def _place(self, m, best):
        """The event goes to core `best`, a flow's into a free workspace that is loaded."""
        p, delivery, victim, oldest = self.params, self.o_delivery.payload, self._victim, self._oldest
        flow, restart = ~delivery.event.noflow, Signal()
        m.d.comb += [
            restart.eq(flow & self.restart.marked & ~delivery.event.new), self.count.restarted.eq(restart),
            self.restart.unmark.eq(flow),
        ]
        m.d.sync += [delivery.load.eq(flow), self.o_dma.valid.eq(flow), delivery.event.restart.eq(restart)]
        with m.Switch(best):
            for c in range(p.total_cores):
                with m.Case(c):
                    m.d.comb += self._slot_used[c].eq(1)
                    m.d.sync += [
                        delivery.cluster.eq(c // p.cores), delivery.core.eq(c % p.cores),
                        delivery.workspace.eq(victim[c] & flow.replicate(4)),
                        oldest[c].eq(Mux(flow, victim[c] + 1, oldest[c])),
                    ]
                    for w in range(p.workspaces):
                        m.d.comb += self.search.allocate[c * p.workspaces + w].eq(flow & (victim[c] == w))

    def _join(self, m):
        """The event follows its flow to the workspace `_held_by` (one-hot)."""
        p, delivery, held_by = self.params, self.o_delivery.payload, self._held_by
        m.d.comb += self.search.add.eq(held_by)
        m.d.sync += [delivery.load.eq(0), delivery.event.restart.eq(0)]
        for c in range(p.total_cores):
            mine = held_by[c * p.workspaces:(c + 1) * p.workspaces]
            m.d.comb += self._slot_used[c].eq(mine.any())
            with m.If(mine.any()):
                m.d.sync += [delivery.cluster.eq(c // p.cores), delivery.core.eq(c % p.cores)]
            for w in range(p.workspaces):
                with m.If(mine[w]):
                    m.d.sync += delivery.workspace.eq(w)
