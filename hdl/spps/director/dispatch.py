"""What the director does with an arriving event."""
from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import Delivery
from ..layouts.dma import ClusterDma, DmaOp
from ..layouts.event import Event
from ..layouts.lookup import LookupCommand, LookupOp
from .least_loaded import LeastLoaded

__all__ = ["Dispatch"]

_PROTOCOL_TCP = 6


class Dispatch(wiring.Component):
    """Takes one event at a time, asks the CAM, chooses the core and delivers.

    Source: patent §VIII, F5 (steps 502 to 520).

    Parameters: params; cam: the FlowCam, for its sizes.
    Members: i_event, i_timer, timer_refused, o_delivery, o_drop, masks, core_ok: as in FlowDirector; o_dma: LOAD commands;
    o_free: DELETE and FREE for a connection that no core can serve; conn, new, match, busy, open, resident, allocate, add: of FlowCam;
    marked, unmark: of RestartMarks, ready: marks are valid; frozen: Out, nothing else may change the CAM; outstanding, occupied:
    Out, slot_back: In, per core: deliveries without a Done; delivered, timed, held, resumed, restarted, no_core: pulses.
    Latency: 4 clocks. Throughput: one event per 6 clocks.
    Backpressure: see FlowDirector. An event that must wait repeats MATCH, SELECT, DECIDE; a Done may commit in each MATCH.
    Reset: idle.
    """

    def __init__(self, params, cam):
        self.params = params
        cores, entries = params.total_cores, cam.entries
        super().__init__({
            "i_event": In(stream.Signature(Event)),
            "i_timer": In(stream.Signature(Event)),
            "timer_refused": Out(1),
            "o_delivery": Out(stream.Signature(Delivery)),
            "o_dma": Out(stream.Signature(ClusterDma)),
            "o_free": Out(stream.Signature(LookupCommand)),
            "o_drop": Out(stream.Signature(unsigned(16))),
            "masks": In(data.ArrayLayout(unsigned(16), cores)), "core_ok": In(cores),
            "conn": Out(cam.conn_bits), "new": Out(1), "match": In(entries), "busy": In(entries), "open": In(entries), "resident": In(entries),
            "marked": In(1), "unmark": Out(1), "ready": In(1),
            "allocate": Out(entries), "add": Out(entries),
            "frozen": Out(1), "occupied": Out(cores), "slot_back": In(cores),
            "outstanding": Out(data.ArrayLayout(range(self.params.event_slots + 1), cores)),
            "delivered": Out(1), "timed": Out(1), "held": Out(1), "resumed": Out(1), "restarted": Out(1), "no_core": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.params
        cores, places = p.total_cores, p.workspaces
        m.submodules.least_loaded = least_loaded = LeastLoaded(cores, p.event_slots.bit_length())
        best, found = least_loaded.core, least_loaded.found
        last = Signal.like(best)
        m.d.comb += least_loaded.last.eq(last)

        delivery = self.o_delivery.payload
        event = delivery.event          # stays in the output register from arrival on
        kind = event.kind.as_value()
        compatible = Signal(cores)
        takes, room = Signal(cores), Signal(cores)      # mask, ok and slot; a workspace
        # of the workspaces that are not busy the one that was filled longest ago
        victim = [Signal(range(places), name=f"victim_{c}") for c in range(cores)]
        oldest = [Signal(range(places), name=f"oldest_{c}") for c in range(cores)]
        outstanding = self.outstanding
        slot_used = Signal(cores)
        for c in range(cores):
            busy = self.busy[c * places:(c + 1) * places]
            m.d.comb += [
                compatible[c].eq(self.masks[c].bit_select(kind[:4], 1) & (kind < 16)),
                self.occupied[c].eq(outstanding[c] != 0),
                least_loaded.load[c].eq(outstanding[c]),
                least_loaded.eligible[c].eq(takes[c] & (event.noflow | room[c])),
            ]
            # Sampled a clock early; until the decision only Dones come in between, and they make both better.
            m.d.sync += [
                takes[c].eq(compatible[c] & self.core_ok[c] & (outstanding[c] != p.event_slots)),
                room[c].eq(~busy.all()),
                outstanding[c].eq(outstanding[c] + slot_used[c] - self.slot_back[c]),
            ]
            for turn in reversed(range(places)):
                w = Signal(range(places), name=f"place_{c}_{turn}")
                m.d.comb += w.eq(oldest[c] + turn)
                with m.If(~busy.bit_select(w, 1)):
                    m.d.sync += victim[c].eq(w)

        from_timer, prefer_timer = Signal(), Signal()
        waited, refused = Signal(), Signal()
        known, may_add = Signal(), Signal()             # busy at a core; can join what is there
        held_by = Signal(len(self.match))               # the entry of the event's flow
        load = self.o_dma.payload
        m.d.comb += [
            self.conn.eq(event.conn), self.new.eq(event.new),
            load.command.op.eq(Mux(event.new, DmaOp.CLEAR, DmaOp.LOAD)), load.command.core.eq(delivery.core),
            load.command.workspace.eq(delivery.workspace), load.command.conn.eq(event.conn), load.cluster.eq(delivery.cluster),
            self.timer_refused.eq(self.i_timer.ready & refused),
        ]
        self._unmake(m, event)
        for output in (self.o_delivery, self.o_dma, self.o_drop):
            with m.If(output.ready):
                m.d.sync += output.valid.eq(0)

        with m.FSM():
            with m.State("ACCEPT"):
                m.d.comb += self.i_event.ready.eq(self.ready & ~(self.i_timer.valid & prefer_timer))
                m.d.sync += [waited.eq(0), refused.eq(0)]
                with m.If(self.i_event.valid & self.i_event.ready):
                    m.d.sync += [event.eq(self.i_event.payload), from_timer.eq(0), prefer_timer.eq(1)]
                    m.next = "MATCH"
                with m.Elif(self.i_timer.valid & self.ready):       # taken when it is decided
                    m.d.sync += [event.eq(self.i_timer.payload), from_timer.eq(1), prefer_timer.eq(0)]
                    m.next = "MATCH"
            with m.State("MATCH"):
                m.next = "SELECT"
            with m.State("SELECT"):
                m.d.comb += self.frozen.eq(1)
                usable = self.open | (self.resident & (~event.new).replicate(len(self.resident)))
                joins = Cat(self.match[e] & usable[e] & takes[e // places] for e in range(len(self.match)))
                m.d.sync += [known.eq((self.match & self.busy).any()), held_by.eq(joins), may_add.eq(joins.any())]
                m.next = "DECIDE"
            with m.State("DECIDE"):
                m.d.comb += self.frozen.eq(1)
                unknown = event.noflow | ~(known | may_add)
                go = Signal()
                m.d.comb += go.eq((unknown & found) | (~unknown & may_add & ~(from_timer & known)))
                with m.If(go):
                    m.d.comb += [self.delivered.eq(1), self.timed.eq(from_timer)]
                    m.d.sync += self.o_delivery.valid.eq(1)
                    m.next = "DELIVER"
                    with m.If(from_timer):
                        m.next = "ANSWER"
                    with m.If(unknown):
                        self._place(m, best, victim, oldest, slot_used)
                        m.d.sync += last.eq(best)
                    with m.Else():
                        m.d.comb += self.resumed.eq(~known)
                        self._join(m, held_by, slot_used)
                with m.Elif(from_timer):
                    m.d.sync += refused.eq(1)
                    m.next = "ANSWER"
                with m.Elif(compatible == 0):
                    m.d.comb += self.no_core.eq(1)
                    m.next = "DROP"
                with m.Else():
                    m.d.comb += self.held.eq(~waited)
                    m.d.sync += waited.eq(1)
                    m.next = "MATCH"
            with m.State("ANSWER"):
                m.d.comb += self.i_timer.ready.eq(1)
                m.next = "DELIVER"
            with m.State("DELIVER"):
                with m.If((~self.o_delivery.valid | self.o_delivery.ready) & (~self.o_dma.valid | self.o_dma.ready)):
                    m.next = "ACCEPT"
            with m.State("DROP"):
                with m.If(~self.o_drop.valid | self.o_drop.ready):
                    m.d.sync += [self.o_drop.payload.eq(event.scratch_ref), self.o_drop.valid.eq(event.payload_len != 0)]
                    m.next = "ACCEPT"
                    with m.If(event.new):
                        m.next = "DELETE_KEY"
            for state, op, following in (("DELETE_KEY", LookupOp.DELETE, "FREE_CONN"), ("FREE_CONN", LookupOp.FREE, "ACCEPT")):
                with m.State(state):
                    m.d.comb += [self.o_free.valid.eq(1), self.o_free.payload.op.eq(op)]
                    with m.If(self.o_free.ready):
                        m.next = following
        return m

    def _unmake(self, m, event):
        """Names in o_free the connection and key of `event`."""
        command = self.o_free.payload
        m.d.comb += [
            command.conn.eq(event.conn),
            command.key.src_ip.eq(event.src_ip), command.key.dst_ip.eq(event.dst_ip),
            command.key.src_port.eq(event.src_port), command.key.dst_port.eq(event.dst_port),
            command.key.protocol.eq(_PROTOCOL_TCP), command.key.iface.eq(event.iface),
        ]

    def _place(self, m, best, victim, oldest, slot_used):
        """The event goes to core `best`, a flow's into a free workspace that is loaded."""
        p, delivery = self.params, self.o_delivery.payload
        flow, restart = ~delivery.event.noflow, Signal()
        m.d.comb += [
            restart.eq(flow & self.marked & ~delivery.event.new), self.restarted.eq(restart), self.unmark.eq(flow),
        ]
        m.d.sync += [delivery.load.eq(flow), self.o_dma.valid.eq(flow), delivery.event.restart.eq(restart)]
        with m.Switch(best):
            for c in range(p.total_cores):
                with m.Case(c):
                    m.d.comb += slot_used[c].eq(1)
                    m.d.sync += [
                        delivery.cluster.eq(c // p.cores), delivery.core.eq(c % p.cores),
                        delivery.workspace.eq(victim[c] & flow.replicate(4)), oldest[c].eq(Mux(flow, victim[c] + 1, oldest[c])),
                    ]
                    for w in range(p.workspaces):
                        m.d.comb += self.allocate[c * p.workspaces + w].eq(flow & (victim[c] == w))

    def _join(self, m, held_by, slot_used):
        """The event follows its flow to the workspace `held_by` (one-hot)."""
        p, delivery = self.params, self.o_delivery.payload
        m.d.comb += self.add.eq(held_by)
        m.d.sync += [delivery.load.eq(0), delivery.event.restart.eq(0)]
        for c in range(p.total_cores):
            mine = held_by[c * p.workspaces:(c + 1) * p.workspaces]
            m.d.comb += slot_used[c].eq(mine.any())
            with m.If(mine.any()):
                m.d.sync += [delivery.cluster.eq(c // p.cores), delivery.core.eq(c % p.cores)]
            for w in range(p.workspaces):
                with m.If(mine[w]):
                    m.d.sync += delivery.workspace.eq(w)
