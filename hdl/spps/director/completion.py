"""What the director does at the end of an event."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import CoreDone, TimerSet
from ..layouts.dma import ClusterDma, DmaOp
from ..layouts.lookup import LookupCommand, LookupOp

__all__ = ["Completion"]


class Completion(wiring.Component):
    """Counts a Done in the CAM, gives the event slot back, sets the timer and, after the last event, writes back.

    A workspace in which an event trapped is not written back: the flow is marked and starts again from what flowstate memory
    has, with a timer event at once. Of a new connection there is nothing to start from: its keys are removed and it is freed.

    Source: patent §VIII, F6 (steps 602 to 614).

    Parameters: params; cam: the FlowCam, for its sizes.
    Members: i_done; o_set, o_dma, o_free: as in FlowDirector; frozen: In, no change to the CAM in this clock; occupied: In per
    core, it has outstanding deliveries; now: ticks; select, conn, close, trap: Out to FlowCam.finish_*; ok, last, closes, void,
    lost: In from there; finish: Out, entries that lose an event; mark: Out, the flow `conn` starts again; slot_back: Out per
    core; bad, trapped, purged: pulses.
    Latency: 3 clocks to the commands. Throughput: one Done per 4 clocks.
    Backpressure: the three outputs of one Done leave before the next Done is taken. Reset: idle.
    """

    def __init__(self, params, cam):
        self.params = params
        entries, cores = cam.entries, params.total_cores
        super().__init__({
            "i_done": In(stream.Signature(CoreDone)),
            "o_set": Out(stream.Signature(TimerSet)),
            "o_dma": Out(stream.Signature(ClusterDma)),
            "o_free": Out(stream.Signature(LookupCommand)),
            "frozen": In(1),
            "occupied": In(cores),
            "now": In(32),
            "select": Out(entries), "conn": Out(16), "close": Out(1), "trap": Out(1),
            "ok": In(1), "last": In(1), "closes": In(1), "void": In(1), "lost": In(1),
            "finish": Out(entries), "mark": Out(1),
            "slot_back": Out(cores),
            "bad": Out(1),
            "trapped": Out(1), "purged": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        params = self.params
        message = Signal(CoreDone)
        done = message.done
        sender = Signal(params.total_cores)     # one-hot; zero for a core that does not exist
        dma = self.o_dma.payload
        m.d.comb += [
            self.conn.eq(done.conn), self.close.eq(done.close & ~done.trap), self.trap.eq(done.trap),
            self.o_set.payload.conn.eq(done.conn),
            self.o_free.payload.conn.eq(done.conn),
            dma.command.op.eq(DmaOp.WRITE_BACK), dma.command.core.eq(message.core),
            dma.command.workspace.eq(done.workspace), dma.command.conn.eq(done.conn), dma.cluster.eq(message.cluster),
        ]
        for output in (self.o_set, self.o_dma, self.o_free):
            with m.If(output.ready):
                m.d.sync += output.valid.eq(0)

        with m.FSM():
            with m.State("ACCEPT"):
                m.d.comb += self.i_done.ready.eq(1)
                m.d.sync += message.eq(self.i_done.payload)
                with m.If(self.i_done.valid):
                    m.next = "SELECT"
            with m.State("SELECT"):
                for c in range(params.total_cores):
                    here = (message.cluster == c // params.cores) & (message.core == c % params.cores)
                    m.d.sync += sender[c].eq(here)
                    for w in range(params.workspaces):
                        m.d.sync += self.select[c * params.workspaces + w].eq(here & (done.workspace == w))
                m.next = "COMMIT"
            with m.State("COMMIT"):
                with m.If(~self.frozen):
                    m.d.comb += self.trapped.eq(done.trap)
                    with m.If(done.noflow):
                        m.d.comb += [
                            self.slot_back.eq(sender & self.occupied),
                            self.bad.eq((sender & self.occupied) == 0),
                        ]
                        m.next = "ACCEPT"
                    with m.Elif(self.ok):
                        closed = self.last & self.closes
                        purged = self.last & self.lost & ~self.closes
                        m.d.comb += [
                            self.finish.eq(self.select), self.slot_back.eq(sender), self.purged.eq(purged),
                            self.mark.eq(self.last & self.void & ~closed & ~purged),
                        ]
                        m.d.sync += [
                            self.o_set.valid.eq(1),
                            self.o_set.payload.deadline.eq(Mux(closed | purged, 0, Mux(done.trap, self.now | 1, done.deadline))),
                            self.o_dma.valid.eq(self.last & ~self.void), self.o_free.valid.eq(closed | purged),
                            self.o_free.payload.op.eq(Mux(purged, LookupOp.PURGE, LookupOp.FREE)),
                        ]
                        m.next = "EMIT"
                    with m.Else():
                        m.d.comb += self.bad.eq(1)
                        m.next = "ACCEPT"
            with m.State("EMIT"):
                waiting = Cat(o.valid & ~o.ready for o in (self.o_set, self.o_dma, self.o_free))
                with m.If(waiting == 0):
                    m.next = "ACCEPT"
        return m
