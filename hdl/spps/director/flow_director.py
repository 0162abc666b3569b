"""Binds each flow to one core while it has events there."""
from amaranth.hdl import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import CoreDone, Delivery, TimerSet
from ..layouts.dma import ClusterDma, DmaOp
from ..layouts.event import Event
from ..layouts.lookup import LookupCommand
from ..lib.stream_arbiter import StreamArbiter
from .completion import Completion
from .dispatch import Dispatch
from .flow_cam import FlowCam
from .restart_marks import RestartMarks
from .watchdog import Watchdog

__all__ = ["FlowDirector"]


class FlowDirector(wiring.Component):
    """Chooses a core for each event, moves flowstates to and from workspaces, and follows the end of events.

    0. A workspace keeps a clean copy of its last flow, which needs no LOAD if it comes back before another one needs the place.
    1. A flow is at one core at a time. 2. Its events are processed in arrival order. 3. Its flowstate is not read from memory
    while a write-back is pending. 4. A flow without events at a core goes to the least loaded one that takes the kind, is ok
    and has a free workspace and event slot. 5. At most params.event_slots deliveries are outstanding per core. 6. A core that
    stops answering is fenced; a flow that loses an event by a trap or fence starts again from flowstate memory, anywhere.
    Source: patent §III.D–H, §VIII, F5, F6, FDC 738.

    Parameters: params.
    Members: i_event, i_timer: stream(Event); timer_refused: Out, in the clock in which i_timer is taken: the flow has events,
    or no core can take it now; o_delivery: stream(Delivery); i_done: stream(CoreDone); o_dma, i_dma_done: stream(ClusterDma);
    o_set: stream(TimerSet), one per Done of a flow, deadline 0 when it closed; o_free: stream(LookupCommand): FREE of a closed
    connection; o_drop: stream(16), scratch references of dropped events; masks: ArrayLayout(16, total_cores), bit k: the core
    takes kind k; core_ok: which cores may get events; idle: no flow is at a core; outstanding: deliveries without a Done, per core;
    standby: flowstate memory is written by others, no copy stays (three clocks at least); now: ticks; watchdog, waiting, lift, fenced: of Watchdog; count: COUNTERS.
    Latency: 4 clocks from event to delivery. Throughput: one event per 6 clocks; one Done per 4 clocks, at the same time.
    Backpressure: an event that must wait (write-back of its flow, no slot, no workspace) holds the events behind it; timer
    events are refused instead. i_done and i_dma_done never wait for i_event or o_delivery.
    Drop: COUNTERS no_core: no core's mask has the kind; a connection just created for it is deleted again. bad_done: a Done
    that fits no event at a core is ignored. i_event = delivered - timers + no_core.
    Reset: no flow at any core.
    """

    COUNTERS = ("delivered", "timers", "timer_refused", "held", "resumed", "restarted", "no_core", "bad_done", "traps", "write_backs",
                "closed", "purged", "fences")

    def __init__(self, params):
        self.params = params
        super().__init__({
            "i_event": In(stream.Signature(Event)),
            "i_timer": In(stream.Signature(Event)),
            "timer_refused": Out(1),
            "o_delivery": Out(stream.Signature(Delivery)),
            "i_done": In(stream.Signature(CoreDone)),
            "o_dma": Out(stream.Signature(ClusterDma)),
            "i_dma_done": In(stream.Signature(ClusterDma)),
            "o_set": Out(stream.Signature(TimerSet)),
            "o_free": Out(stream.Signature(LookupCommand)),
            "o_drop": Out(stream.Signature(unsigned(16))),
            "masks": In(data.ArrayLayout(unsigned(16), params.total_cores)),
            "core_ok": In(params.total_cores),
            "standby": In(1), "now": In(32),
            "watchdog": In(24), "waiting": In(params.total_cores), "lift": In(params.total_cores), "fenced": Out(params.total_cores),
            "outstanding": Out(data.ArrayLayout(range(params.event_slots + 1), params.total_cores)),
            "idle": Out(1),
            "count": Out(unsigned(len(self.COUNTERS))),
        })

    def elaborate(self, platform):
        m = Module()
        p = self.params
        m.submodules.cam = cam = FlowCam(p)
        m.submodules.dispatch = dispatch = Dispatch(p, cam)
        m.submodules.completion = completion = Completion(p, cam)
        m.submodules.marks = marks = RestartMarks(p)
        m.submodules.watchdog = watchdog = Watchdog(p.total_cores)
        m.submodules.join_dma = join_dma = StreamArbiter(ClusterDma, 2, packets=False)
        m.submodules.join_free = join_free = StreamArbiter(LookupCommand, 2, packets=False)
        for name in ("i_event", "i_timer"):
            wiring.connect(m, wiring.flipped(getattr(self, name)), getattr(dispatch, name))
        for name in ("o_delivery", "o_drop"):
            wiring.connect(m, getattr(dispatch, name), wiring.flipped(getattr(self, name)))
        wiring.connect(m, wiring.flipped(self.i_done), completion.i_done)
        wiring.connect(m, completion.o_set, wiring.flipped(self.o_set))
        for k, source in enumerate((completion, dispatch)):
            wiring.connect(m, source.o_dma, join_dma.i[k])
            wiring.connect(m, source.o_free, join_free.i[k])
        wiring.connect(m, join_dma.o, wiring.flipped(self.o_dma))
        wiring.connect(m, join_free.o, wiring.flipped(self.o_free))

        m.d.comb += [
            self.timer_refused.eq(dispatch.timer_refused),
            dispatch.masks.eq(self.masks), dispatch.core_ok.eq(self.core_ok & ~watchdog.fenced),
            dispatch.match.eq(cam.match), dispatch.busy.eq(cam.busy), dispatch.open.eq(cam.open),
            dispatch.resident.eq(cam.resident), cam.conn.eq(dispatch.conn), cam.new.eq(dispatch.new),
            dispatch.marked.eq(marks.marked), dispatch.ready.eq(marks.ready), marks.conn.eq(dispatch.conn), marks.unmark.eq(dispatch.unmark),
            marks.mark.eq(completion.mark), marks.lost_conn.eq(completion.conn), completion.now.eq(self.now),
            cam.allocate.eq(dispatch.allocate), cam.add.eq(dispatch.add),
            completion.frozen.eq(dispatch.frozen), completion.occupied.eq(dispatch.occupied),
            dispatch.slot_back.eq(completion.slot_back),
            cam.finish_select.eq(completion.select), cam.finish_conn.eq(completion.conn), cam.close.eq(completion.close),
            cam.trap.eq(completion.trap), completion.void.eq(cam.finish_void), completion.lost.eq(cam.finish_lost),
            completion.ok.eq(cam.finish_ok), completion.last.eq(cam.finish_last), completion.closes.eq(cam.finish_close),
            cam.finish.eq(completion.finish),
            self.idle.eq(cam.busy == 0), self.outstanding.eq(dispatch.outstanding),
            watchdog.limit.eq(self.watchdog), watchdog.occupied.eq(dispatch.occupied), watchdog.done.eq(completion.slot_back),
            watchdog.waiting.eq(self.waiting), watchdog.lift.eq(self.lift), self.fenced.eq(watchdog.fenced),
            cam.flush.eq(Cat(((watchdog.fenced[c] | self.standby) & ~dispatch.frozen).replicate(p.workspaces) for c in range(p.total_cores))),
        ]

        moved, place = self.i_dma_done.payload, Signal(cam.entries)
        taken = Signal()
        m.d.comb += [self.i_dma_done.ready.eq(~dispatch.frozen), taken.eq(self.i_dma_done.valid & ~dispatch.frozen)]
        for e in range(cam.entries):
            core, workspace = divmod(e, p.workspaces)
            m.d.comb += place[e].eq(taken & (moved.cluster == core // p.cores) & (moved.command.core == core % p.cores) &
                                    (moved.command.workspace == workspace))
        with m.If(moved.command.op == DmaOp.WRITE_BACK):
            m.d.comb += cam.release.eq(place)
        with m.Else():
            m.d.comb += cam.loaded.eq(place)

        finished = completion.finish.any() & cam.finish_last
        m.d.sync += self.count.eq(Cat(
            dispatch.delivered, dispatch.timed, dispatch.timer_refused, dispatch.held, dispatch.resumed, dispatch.restarted,
            dispatch.no_core, completion.bad, completion.trapped, finished & ~cam.finish_void, finished & cam.finish_close,
            completion.purged, watchdog.fences))
        return m
