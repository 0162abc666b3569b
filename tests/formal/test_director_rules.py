"""Rules 1 to 3 of the director, and those of resident and void workspaces (patent §III.D–H).

They are proved for every schedule of events, Dones and DMA. One connection is followed, any of two, on two cores of two
workspaces. The environment is free (traps, cores that are not ok, changes of role), but a Done of the followed
connection needs an event at that core and its LOAD, and the DMA answers only commands it got. Each claim is also
checked to fail on a mutated director. Some schedules begin with connection 0 resident at place 0, from where more is
within reach.
"""

import pytest
from amaranth.hdl import (
    Assert,
    Assume,
    Cat,
    Const,
    Cover,
    Elaboratable,
    Module,
    Mux,
    ResetSignal,
    Signal,
)

from spps.director import FlowDirector, flow_director
from spps.director.dispatch import Dispatch
from spps.director.flow_cam import FlowCam
from spps.director.restart_marks import RestartMarks
from spps.layouts.dma import DmaOp
from spps.layouts.event import EventKind
from spps.params import TINY
from tests.formal.prover import rtlil_of, verdict

PARAMS = TINY.replace(connections=2, clusters=1, cores=2, workspaces=2, event_slots=2)
PREPARE = "prep -flatten -top top\nopt -full\nasync2sync\nopt -full"
STEPS = 17      # from reset, a second LOAD of a flow is reached in the last one


class ResidentCam(FlowCam):
    """A flow has been here."""

    def __init__(self, params):
        super().__init__(params, resident=0)


class ReadyMarks(RestartMarks):
    """Without the sweep, which would cost two steps: the memory is empty at reset."""

    def __init__(self, params):
        super().__init__(params)
        self._swept = Signal(init=1)


class HastyCam(ResidentCam):
    """Mutation, rule 3: a flow that is written back looks free."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.search.busy.eq(self.search.open)
        return m


class BlindCam(FlowCam):
    """Mutation, rule 1: finds nothing."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.sync += self.search.match.eq(0)
        return m


class StaleCam(ResidentCam):
    """Mutation: a copy stays although the flow has gone on elsewhere."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        kept = Signal(self.entries, init=1)
        m.d.sync += kept.eq(kept & ~self.search.allocate & ~self.search.add)
        m.d.comb += self.search.resident.eq(kept)
        return m


class HoardingCam(ResidentCam):
    """Mutation: a copy stays although others write flowstate memory."""

    def elaborate(self, platform):
        self.flush = Const(0, self.entries)
        return super().elaborate(platform)


class CarelessCam(ResidentCam):
    """Mutation: what a trap left behind is written back."""

    def elaborate(self, platform):
        self.finish.trap = Const(0)
        return super().elaborate(platform)


class ForgetfulMarks(ReadyMarks):
    """Mutation: nobody remembers that a flow has lost events."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += self.search.marked.eq(0)
        return m


class RacingDirector(FlowDirector):
    """Mutation: a Done may commit while an event is decided."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += m.submodules.completion.slots.frozen.eq(0)
        return m


class JoiningDispatch(Dispatch):
    """Mutation: a timer event joins the events of its flow."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.sync += self._known.eq(0)
        return m


class LyingDispatch(Dispatch):
    """Mutation: a refused timer event is answered as taken."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.sync += self.o_answer.payload.taken.eq(1)
        return m


class Contract(Elaboratable):
    """A director in that environment."""

    def __init__(self, director, resident):
        self.director, self.resident = director, resident
        self.inputs = {name: Signal(bits, name=name) for name, bits in (
            ("flow", 1), ("event_valid", 1), ("event_conn", 1), ("event_noflow", 1), ("timer_valid", 1),
            ("timer_conn", 1), ("delivery_ready", 1), ("dma_ready", 1), ("set_ready", 1), ("answer_ready", 1),
            ("done_valid", 1), ("done_place", 2), ("done_conn", 1), ("done_noflow", 1), ("done_close", 1),
            ("done_trap", 1), ("core_enable", 2), ("round_robin", 1), ("standby", 1),
            ("moved_valid", 1), ("moved_place", 2), ("moved_op", 1))}
        self.ports = list(self.inputs.values())

    def elaborate(self, platform):
        m = Module()
        m.submodules.director = d = self.director
        free = self.inputs
        flow = Signal()
        started = Signal()
        m.d.sync += [started.eq(1), flow.eq(free["flow"])]
        with m.If(started):
            m.d.comb += Assume(free["flow"] == flow)
        m.d.comb += Assume(~ResetSignal())
        watched = free["flow"]
        accepted, delivered = Signal(4), Signal(4)      # events of the watched flow
        event, timer = d.i_event, d.i_timer
        m.d.comb += [
            d.core_enable.eq(free["core_enable"]), d.round_robin.eq(free["round_robin"]), d.standby.eq(free["standby"]),
            d.o_drop.ready.eq(1), d.o_delivery.ready.eq(free["delivery_ready"]),
            d.o_dma.ready.eq(free["dma_ready"]), d.o_set.ready.eq(free["set_ready"]), d.o_free.ready.eq(1),
            d.o_answer.ready.eq(free["answer_ready"]),
            event.valid.eq(free["event_valid"]), event.payload.kind.eq(EventKind.TCP), event.payload.seq.eq(accepted),
            event.payload.conn.eq(free["event_conn"]), event.payload.noflow.eq(free["event_noflow"]),
            timer.valid.eq(free["timer_valid"]), timer.payload.kind.eq(EventKind.TIMER), timer.payload.seq.eq(accepted),
            timer.payload.conn.eq(free["timer_conn"]),
            *(mask.eq(0xFFFF) for mask in d.masks),
        ]
        # a stream holds what it offers
        for name, source in (("timer", timer), ("event", event)):
            waits, was = Signal(name=f"{name}_waits"), Signal(name=f"{name}_was")
            m.d.sync += [waits.eq(source.valid & ~source.ready), was.eq(free[f"{name}_conn"])]
            m.d.comb += Assume(~waits | (source.valid & (free[f"{name}_conn"] == was)))

        # a timer event counts when its answer appears, which is taken any time later
        answer = d.o_answer
        asked, asked_conn, answer_waits = Signal(), Signal(), Signal()     # a timer event has no answer yet
        offered, answered_now = timer.valid & timer.ready, answer.valid & ~answer_waits
        m.d.sync += answer_waits.eq(answer.valid & ~answer.ready)
        with m.If(offered):
            m.d.comb += Assert(~asked & ~answer.valid,
                               "a timer event is taken before the answer to the one before has left")
            m.d.sync += [asked.eq(1), asked_conn.eq(free["timer_conn"])]
        with m.If(answered_now):
            m.d.comb += [Assert(asked, "an answer without a timer event"),
                         Assert(answer.payload.conn == asked_conn, "the answer to another")]
            m.d.sync += asked.eq(0)
        held_answer = Signal.like(answer.payload)
        m.d.sync += held_answer.eq(answer.payload)
        with m.If(answer_waits):
            m.d.comb += Assert(answer.valid & (answer.payload == held_answer), "an answer that waits changes")

        taken = Signal()
        m.d.comb += taken.eq((event.valid & event.ready & ~event.payload.noflow & (event.payload.conn == watched)) |
                             (answered_now & answer.payload.taken & (asked_conn == watched)))
        m.d.sync += accepted.eq(accepted + taken)

        # Dones: only for events that are there
        at = [Signal(3, name=f"at_{p}") for p in range(4)]      # events of the watched flow at each place
        done, value = d.i_done, d.i_done.payload
        m.d.comb += [
            done.valid.eq(free["done_valid"]), value.core.eq(free["done_place"][1]),
            value.done.workspace.eq(free["done_place"][0]), value.done.conn.eq(free["done_conn"]),
            value.done.noflow.eq(free["done_noflow"]), value.done.close.eq(free["done_close"]),
            value.done.trap.eq(free["done_trap"]),
        ]
        ends, away, loading = Signal(4), Signal(), Signal()
        for p in range(4):
            mine = done.valid & ~value.done.noflow & (value.done.conn == watched) & (free["done_place"] == p)
            # a core waits for its LOAD
            m.d.comb += [Assume(~mine | ((at[p] != 0) & away & ~loading)), ends[p].eq(mine & done.ready)]

        # deliveries
        out = d.o_delivery.payload
        place = Cat(out.workspace[0], out.core[0])
        comes = Signal()
        m.d.comb += comes.eq(d.o_delivery.valid & d.o_delivery.ready & ~out.event.noflow & (out.event.conn == watched))
        m.d.sync += delivered.eq(delivered + comes)
        for p in range(4):
            m.d.sync += at[p].eq(at[p] + (comes & (place == p)) - ends[p])
            with m.If(comes & (place != p)):
                m.d.comb += Assert(at[p] == 0, f"rule 1: the flow is at place {p} as well")
        busy = Cat(*at) != 0
        with m.If(comes):
            m.d.comb += Assert(out.event.seq == delivered, "rule 2: in order of arrival")
            with m.If(out.event.kind == EventKind.TIMER):
                m.d.comb += Assert(~busy, "a timer event of a busy flow")

        # DMA: from a LOAD, or an event for a resident copy, to the end of the WRITE_BACK only the workspace holds the
        # flowstate. `loose`: the last event that was delivered has trapped. If none is on its way the place is void,
        # which is not seen from here.
        command = d.o_dma.payload.command
        moved = d.i_dma_done.payload.command
        owed = Signal(4)        # write-backs commanded and not answered
        m.d.comb += [
            d.i_dma_done.valid.eq(free["moved_valid"]), moved.core.eq(free["moved_place"][1]),
            moved.workspace.eq(free["moved_place"][0]), moved.op.as_value().eq(free["moved_op"]),
        ]
        commanded = d.o_dma.valid & d.o_dma.ready
        answered = d.i_dma_done.valid & d.i_dma_done.ready
        owner, loose = Signal(2), Signal()
        # clean copies; an event has trapped, or closed, since the LOAD
        copies, lost, over = Signal(4), Signal(), Signal()
        trapped = Signal()
        m.d.comb += [trapped.eq(ends.any() & value.done.trap),
                     Assume(~free["standby"] | ((accepted == delivered) & ~timer.valid & ~asked))]
        where = Cat(command.workspace[0], command.core[0])
        for p in range(4):
            m.d.comb += Assume(~(d.i_dma_done.valid & (moved.op == DmaOp.WRITE_BACK) & (free["moved_place"] == p))
                               | owed[p])
            with m.If(commanded & (command.op == DmaOp.WRITE_BACK) & (where == p)):
                m.d.comb += Assert(~owed[p], "a second write-back of one workspace")
                m.d.sync += owed[p].eq(1)
            with m.If(answered & (moved.op == DmaOp.WRITE_BACK) & (free["moved_place"] == p)):
                m.d.sync += owed[p].eq(0)
        writing = away & ~loose & owed.bit_select(owner, 1)
        with m.If(answered & (moved.op == DmaOp.WRITE_BACK) & away & ~loose & (free["moved_place"] == owner)):
            m.d.sync += [away.eq(0), copies.bit_select(owner, 1).eq(~over)]
        copy = Signal(4)
        m.d.comb += copy.eq(copies | (self.resident & ~started & (watched == 0)))
        with m.If(~started):
            m.d.sync += copies.eq(copy)
        with m.If(free["standby"]):
            m.d.sync += copies.eq(0)
        held = Signal(2)            # a role lasts longer than a decision, which a change of role does not break
        m.d.sync += held.eq(Mux(free["standby"], Mux(held == 3, 3, held + 1), 0))
        m.d.comb += Assume(free["standby"] | (held == 0) | (held == 3))
        loads_now = commanded & (command.op != DmaOp.WRITE_BACK)
        with m.If(loads_now):
            m.d.sync += copies.bit_select(where, 1).eq(0)
        with m.If(trapped):
            m.d.sync += [lost.eq(1), loose.eq(1)]
        with m.If(ends.any() & value.done.close & ~value.done.trap):
            m.d.sync += over.eq(1)
        # the LOAD and the event it is for come in either order
        load_comes, event_comes = Signal(), Signal()
        load_waits, event_waits = Signal(), Signal()        # one of them has come
        begins, where_to, due = Signal(), Signal(2), Signal()
        m.d.comb += [
            load_comes.eq(loads_now & (command.conn == watched)), event_comes.eq(comes & out.load),
            where_to.eq(Mux(event_comes, place, where)),
            begins.eq((load_comes & ~event_waits) | (event_comes & ~load_waits) | (comes & ~out.load & ~away)),
        ]
        with m.If(load_comes & event_comes):
            m.d.comb += Assert(where == place)
        with m.If((load_comes & event_waits) | (event_comes & load_waits)):
            m.d.comb += Assert(where_to == owner)
        m.d.sync += [load_waits.eq((load_waits | load_comes) & ~event_comes & ~event_waits),
                     event_waits.eq((event_waits | event_comes) & ~load_comes & ~load_waits)]
        m.d.comb += loading.eq(event_waits)
        with m.If(begins & (load_comes | event_comes)):
            m.d.comb += Assert(~away | loose, "rule 3: read while the workspace or a write-back holds the flowstate")
        with m.If(event_comes):
            m.d.comb += Assert(out.event.restart == Mux(load_waits, due, lost & ~over),
                               "rule 6: a flow that lost events starts again")
        with m.If(comes):
            m.d.comb += Assert(~writing, "an event joins a write-back")
            with m.If(~out.load):
                m.d.comb += [Assert((away & (owner == place)) | copy.bit_select(place, 1),
                                    "no LOAD, but the place does not have the flow"),
                             Assert(~out.event.restart)]
        with m.If(begins):
            m.d.sync += [away.eq(1), owner.eq(Mux(comes, place, where)), loose.eq(0), due.eq(lost & ~over), lost.eq(0),
                         over.eq(0), copies.eq(0)]
        with m.If(commanded & (command.conn == watched) & (command.op == DmaOp.WRITE_BACK)):
            m.d.comb += [Assert(away & (where == owner)), Assert(~busy, "written back with events left"),
                         Assert(~lost, "rule 6: a void workspace is written back")]
        loads = Signal(2)
        m.d.sync += loads.eq(loads + (commanded & (command.conn == watched) & (command.op == DmaOp.LOAD)))
        m.d.comb += Cover((loads == 2) & (delivered == 2))
        return m


def prove(tmp_path, mode, *, cam=FlowCam, marks=ReadyMarks, dispatch=Dispatch, director=FlowDirector, steps=STEPS):
    """The verdict on a director of these parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flow_director, "FlowCam", cam)
        patch.setattr(flow_director, "RestartMarks", marks)
        patch.setattr(flow_director, "Dispatch", dispatch)
        contract = Contract(director(PARAMS), issubclass(cam, ResidentCam))
        text = rtlil_of(contract)
    return verdict(text, tmp_path, mode, steps, PREPARE)


@pytest.mark.slow
@pytest.mark.parametrize("cam", (FlowCam, ResidentCam))
def test_rules_1_to_3_hold(tmp_path, cam):
    assert prove(tmp_path, "bmc", cam=cam) == "PASS"


@pytest.mark.slow
@pytest.mark.parametrize("cam", (FlowCam, ResidentCam))
def test_second_load_is_within_reach(tmp_path, cam):
    assert prove(tmp_path, "cover", cam=cam) == "PASS"


@pytest.mark.slow
@pytest.mark.parametrize("cam", (HastyCam, BlindCam, StaleCam, HoardingCam, CarelessCam))
def test_a_broken_cam_is_found(tmp_path, cam):
    assert prove(tmp_path, "bmc", cam=cam) == "FAIL"


@pytest.mark.slow
def test_a_director_that_forgets_losses_is_found(tmp_path):
    assert prove(tmp_path, "bmc", cam=ResidentCam, marks=ForgetfulMarks) == "FAIL"


@pytest.mark.slow
@pytest.mark.parametrize("dispatch", (JoiningDispatch, LyingDispatch))
def test_wrong_answers_to_timer_events_are_found(tmp_path, dispatch):
    assert prove(tmp_path, "bmc", dispatch=dispatch) == "FAIL"


@pytest.mark.slow
def test_a_racing_director_is_found(tmp_path):
    assert prove(tmp_path, "bmc", director=RacingDirector) == "FAIL"
