"""Binds each flow to one core while it has events there."""
from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import CoreDone, Delivery, TimerAnswer, TimerSet
from ..layouts.dma import ClusterDma, DmaOp
from ..layouts.event import Event
from ..layouts.lookup import LookupCommand
from ..lib.stream_arbiter import StreamArbiter
from .completion import Completion
from .dispatch import Dispatch
from .flow_cam import FlowCam
from .ports import FenceControl
from .restart_marks import RestartMarks
from .watchdog import Watchdog

__all__ = ["FlowDirector"]


class FlowDirector(wiring.Component):
    """Chooses a core for each event, moves flowstates to and from workspaces, and follows the end of events.

    1. A flow is at one core at a time. 2. Its events are processed in order of arrival. 3. Its flowstate is not read
    from memory while a write-back is pending. 4. A flow without events at a core goes to a core that takes the kind,
    is enabled and not fenced, and has a free workspace and event slot: the least loaded one, or the next in turn. 5.
    At most params.event_slots deliveries are outstanding per core. 6. A core that stops answering is fenced; a flow
    that loses an event by a trap or fence starts again from flowstate memory, at any core.

    After its events a workspace keeps a clean copy of its flow, which needs no LOAD when it comes back before another
    flow takes the workspace.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.

    Members
    -------
    i_event : In(stream of Event)
        Events of the lookup controller.
    i_timer : In(stream of Event)
        Timer events.
    o_answer : Out(stream of TimerAnswer)
        One per timer event, in order. Refused: the flow has events, or no core can take it now.
    o_delivery : Out(stream of Delivery)
        Events for cores.
    i_done : In(stream of CoreDone)
        Ends of events.
    o_dma : Out(stream of ClusterDma)
        LOAD, CLEAR and WRITE_BACK commands.
    i_dma_done : In(stream of ClusterDma)
        The same commands, when they are done.
    o_set : Out(stream of TimerSet)
        One per Done of a flow; deadline 0 when the connection ended.
    o_free : Out(stream of LookupCommand)
        Connections that are over.
    o_drop : Out(stream of 16 bits)
        Scratch references of dropped events.
    masks : In(16), total_cores times
        Bit k of a mask: the core takes events of kind k.
    core_enable : In(total_cores)
        Cores that may get events.
    round_robin : In(1)
        1: the next core in turn gets a flow; 0: the least loaded one.
    standby : In(1)
        Others write flowstate memory: no copy stays resident. High for three clocks at least.
    now : In(32), ticks
        Tick counter.
    fence : In(FenceControl)
        Watchdog: limit, waiting cores, lifts, and the fences.
    outstanding : Out(range(event_slots + 1)), total_cores times, events
        Deliveries without a Done.
    idle : Out(1)
        No flow is at a core.
    count : Out(COUNTERS.layout)
        Pulses. Events in = delivered - timers + no_core.

    Timing
    ------
    Latency 4 clocks from event to delivery. Throughput one event per 6 clocks and, at the same time, one Done per 4
    clocks. An event that must wait (write-back of its flow, no slot, no workspace) holds the events behind it; a
    timer event is refused instead. `i_done` and `i_dma_done` never wait for `i_event`, `o_delivery` or `o_answer`. An
    answer that waits holds the next timer event only.

    Drop
    ----
    no_core : no mask has the kind of the event; a connection just created for it is deleted again.
    bad_done : the Done has no effect.

    Reset
    -----
    No flow at any core. Events wait while the restart marks are swept, one clock per connection.

    Source
    ------
    Patent §III.D–H, §VIII, F5, F6, F7 738.
    """

    COUNTERS = Dispatch.COUNTERS | Completion.COUNTERS | Watchdog.COUNTERS

    def __init__(self, params):
        self.params = params
        cores = params.total_cores
        super().__init__({
            "i_event": In(stream.Signature(Event)),
            "i_timer": In(stream.Signature(Event)),
            "o_answer": Out(stream.Signature(TimerAnswer)),
            "o_delivery": Out(stream.Signature(Delivery)),
            "i_done": In(stream.Signature(CoreDone)),
            "o_dma": Out(stream.Signature(ClusterDma)),
            "i_dma_done": In(stream.Signature(ClusterDma)),
            "o_set": Out(stream.Signature(TimerSet)),
            "o_free": Out(stream.Signature(LookupCommand)),
            "o_drop": Out(stream.Signature(unsigned(16))),
            "masks": In(data.ArrayLayout(unsigned(16), cores)), "core_enable": In(cores), "round_robin": In(1),
            "standby": In(1), "now": In(32), "fence": In(FenceControl(cores)),
            "outstanding": Out(data.ArrayLayout(range(params.event_slots + 1), cores)),
            "idle": Out(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.params
        m.submodules.cam = cam = FlowCam(p)
        m.submodules.dispatch = dispatch = Dispatch(p, cam.conn_bits)
        m.submodules.completion = completion = Completion(p, cam.entries)
        m.submodules.marks = marks = RestartMarks(p)
        m.submodules.watchdog = watchdog = Watchdog(p.total_cores)
        m.submodules.join_dma = join_dma = StreamArbiter(ClusterDma, 2, packets=False)
        m.submodules.join_free = join_free = StreamArbiter(LookupCommand, 2, packets=False)
        for source, sink in (
            (wiring.flipped(self.i_event), dispatch.i_event), (wiring.flipped(self.i_timer), dispatch.i_timer),
            (dispatch.o_answer, wiring.flipped(self.o_answer)), (dispatch.o_delivery, wiring.flipped(self.o_delivery)),
            (dispatch.o_drop, wiring.flipped(self.o_drop)),
            (wiring.flipped(self.i_done), completion.i_done), (completion.o_set, wiring.flipped(self.o_set)),
            (completion.o_dma, join_dma.i[0]), (dispatch.o_dma, join_dma.i[1]),
            (join_dma.o, wiring.flipped(self.o_dma)),
            (completion.o_free, join_free.i[0]), (dispatch.o_free, join_free.i[1]),
            (join_free.o, wiring.flipped(self.o_free)),
            (dispatch.search, cam.search), (dispatch.restart, marks.search), (completion.finish, cam.finish),
            (completion.slots, dispatch.slots), (wiring.flipped(self.fence), watchdog.fence),
        ):
            wiring.connect(m, source, sink)

        fenced, frozen = watchdog.fence.fenced, dispatch.slots.frozen
        flushed = (fenced | self.standby.replicate(p.total_cores)) & (~frozen).replicate(p.total_cores)
        m.d.comb += [
            dispatch.masks.eq(self.masks), dispatch.core_enable.eq(self.core_enable & ~fenced),
            dispatch.round_robin.eq(self.round_robin),
            marks.mark.eq(completion.mark), marks.lost_conn.eq(completion.finish.conn), completion.now.eq(self.now),
            watchdog.occupied.eq(dispatch.slots.occupied), watchdog.done.eq(completion.slots.back),
            cam.flush.eq(Cat(flushed[c].replicate(p.workspaces) for c in range(p.total_cores))),
            self.idle.eq(cam.search.busy == 0), self.outstanding.eq(dispatch.outstanding),
        ]
        self._end_moves(m, cam, frozen)
        m.d.sync += self.count.eq(Cat(dispatch.count, completion.count, watchdog.count))
        return m

    def _end_moves(self, m, cam, frozen):
        """Tells the CAM which workspace has been loaded or written back."""
        p, moved = self.params, self.i_dma_done.payload
        place, taken = Signal(cam.entries), Signal()
        m.d.comb += [self.i_dma_done.ready.eq(~frozen), taken.eq(self.i_dma_done.valid & ~frozen)]
        for e in range(cam.entries):
            core, workspace = divmod(e, p.workspaces)
            m.d.comb += place[e].eq(taken & (moved.cluster == core // p.cores) & (moved.command.core == core % p.cores)
                                    & (moved.command.workspace == workspace))
        with m.If(moved.command.op == DmaOp.WRITE_BACK):
            m.d.comb += cam.release.eq(place)
        with m.Else():
            m.d.comb += cam.loaded.eq(place)
