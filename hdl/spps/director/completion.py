"""What the director does at the end of an event."""
from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import CoreDone, EndCause, TimerSet
from ..layouts.dma import ClusterDma, DmaOp
from ..layouts.lookup import LookupCommand, LookupOp
from ..lib.counters import Counters
from .ports import FlowFinish, SlotReturn

__all__ = ["Completion"]


class Completion(wiring.Component):
    """Counts a Done in the CAM, gives the event slot back, sets the timer and, after the last event, writes back.

    A workspace in which an event trapped is not written back: the flow is marked and starts again from what flowstate
    memory has, with a timer event at once. Of a new connection there is nothing to start from: its keys are removed
    and it is freed.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.
    entries : int
        Entries of the flow CAM.

    Members
    -------
    i_done : In(stream of CoreDone)
        Ends of events.
    o_set : Out(stream of TimerSet)
        One per Done of a flow: its deadline, 0 when the connection ended, now when an event trapped.
    o_dma : Out(stream of ClusterDma)
        WRITE_BACK commands.
    o_free : Out(stream of LookupCommand)
        FREE of a connection that has ended, PURGE of a new one that was lost.
    finish : Out(FlowFinish)
        The entry of the Done in the CAM.
    slots : Out(SlotReturn)
        Event slots of the cores.
    now : In(32), ticks
        Tick counter.
    mark : Out(1)
        The flow `finish.conn` starts again with its next event.
    count : Out(COUNTERS.layout)
        Pulses.

    Timing
    ------
    Latency 3 clocks to the commands. Throughput one Done per 4 clocks. `i_done` waits until the commands of the Done
    before have left, and while `slots.frozen`.

    Drop
    ----
    bad_done : the Done has no effect.

    Reset
    -----
    Idle.

    Source
    ------
    Patent §VIII, F6 (steps 602 to 614).
    """

    COUNTERS = Counters({
        "bad_done": "Dones that fit no event at a core, ignored",
        "traps": "Dones with `trap`: events that trapped or were at a fenced core",
        "write_backs": "last events of a flow at a core, after which its flowstate is written back",
        "closed": "connections ended by a Done with `close`",
        "keepalive_ended": "of the connections closed, those with a peer that answered no keepalive probe",
        "idle_ended": "of the connections closed, those that carried no data for `cfg_idle_limit`",
        "purged": "new connections purged because no event of theirs ended well",
    })

    def __init__(self, params, entries):
        self.params = params
        super().__init__({
            "i_done": In(stream.Signature(CoreDone)),
            "o_set": Out(stream.Signature(TimerSet)),
            "o_dma": Out(stream.Signature(ClusterDma)),
            "o_free": Out(stream.Signature(LookupCommand)),
            "finish": Out(FlowFinish(entries)), "slots": Out(SlotReturn(params.total_cores)),
            "now": In(32), "mark": Out(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        params, finish = self.params, self.finish
        self._message = message = Signal(CoreDone)
        self._sender = sender = Signal(params.total_cores)      # one-hot; zero for a core that does not exist
        done, dma = message.done, self.o_dma.payload
        m.d.comb += [
            finish.conn.eq(done.conn), finish.close.eq(done.close & ~done.trap), finish.trap.eq(done.trap),
            self.o_set.payload.conn.eq(done.conn),
            self.o_free.payload.conn.eq(done.conn),
            dma.command.op.eq(DmaOp.WRITE_BACK), dma.command.core.eq(message.core),
            dma.command.workspace.eq(done.workspace), dma.command.conn.eq(done.conn), dma.cluster.eq(message.cluster),
        ]
        outputs = (self.o_set, self.o_dma, self.o_free)
        for output in outputs:
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
                        m.d.sync += finish.select[c * params.workspaces + w].eq(here & (done.workspace == w))
                m.next = "COMMIT"
            with m.State("COMMIT"):
                with m.If(~self.slots.frozen):
                    self._commit(m)
            with m.State("EMIT"):
                with m.If(Cat(o.valid & ~o.ready for o in outputs) == 0):
                    m.next = "ACCEPT"
        return m

    def _commit(self, m):
        """Counts the Done in the CAM and decides on the commands."""
        done, finish, slots, sender = self._message.done, self.finish, self.slots, self._sender
        m.d.comb += self.count.traps.eq(done.trap)
        with m.If(done.noflow):
            m.d.comb += [
                slots.back.eq(sender & slots.occupied),
                self.count.bad_done.eq((sender & slots.occupied) == 0),
            ]
            m.next = "ACCEPT"
        with m.Elif(finish.fits):
            closed = finish.last & finish.closes
            purged = finish.last & finish.lost & ~finish.closes
            m.d.comb += [
                finish.commit.eq(finish.select), slots.back.eq(sender),
                self.mark.eq(finish.last & finish.void & ~closed & ~purged),
                self.count.write_backs.eq(finish.last & ~finish.void),
                self.count.closed.eq(closed), self.count.purged.eq(purged),
                self.count.keepalive_ended.eq(finish.close & (done.cause == EndCause.KEEPALIVE)),
                self.count.idle_ended.eq(finish.close & (done.cause == EndCause.IDLE)),
            ]
            m.d.sync += [
                self.o_set.valid.eq(1),
                self.o_set.payload.deadline.eq(Mux(closed | purged, 0, Mux(done.trap, self.now | 1, done.deadline))),
                self.o_dma.valid.eq(finish.last & ~finish.void), self.o_free.valid.eq(closed | purged),
                self.o_free.payload.op.eq(Mux(purged, LookupOp.PURGE, LookupOp.FREE)),
            ]
            m.next = "EMIT"
        with m.Else():
            m.d.comb += self.count.bad_done.eq(1)
            m.next = "ACCEPT"
