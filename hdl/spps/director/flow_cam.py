"""The content-addressable memory of flows that have events at cores."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In

from .ports import FlowFinish, FlowSearch

__all__ = ["FlowCam", "FlowState"]


class FlowState(enum.Enum, shape=3):
    """State of a workspace."""

    FREE = 0
    LOADING = 1         # events may be queued at the core, which waits for its workspace
    ACTIVE = 2
    WRITING_BACK = 3    # no event goes in; flowstate memory must not be read
    RESIDENT = 4        # no events; the workspace holds what flowstate memory holds


class FlowCam(wiring.Component):
    """One entry per workspace of each core; the number of the entry is core * workspaces + workspace.

    An entry holds the connection, its state, the number of its events at the core, whether it is to be closed,
    whether an event trapped (the workspace is void), and whether the connection is new and no event of it has ended
    well.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.
    resident : int, optional
        A connection that is in entry 0 at reset, where proofs begin.

    Members
    -------
    search : In(FlowSearch)
        Finds flows and adds events.
    finish : In(FlowFinish)
        Ends events.
    loaded : In(entries)
        LOADING becomes ACTIVE.
    release : In(entries)
        WRITING_BACK becomes RESIDENT, or FREE when the connection has ended or the entry is flushed.
    flush : In(entries)
        RESIDENT becomes FREE.

    Timing
    ------
    `search.match` 1 clock after `search.conn`; a command changes the entry at the end of its clock.

    Reset
    -----
    All FREE.

    Source
    ------
    Patent §III.D–H, F5, F6.
    """

    def __init__(self, params, *, resident=None):
        self.params, self._first = params, resident
        self.entries = entries = params.total_cores * params.workspaces
        self.conn_bits = (params.connections - 1).bit_length()
        super().__init__({
            "search": In(FlowSearch(entries, self.conn_bits)), "finish": In(FlowFinish(entries)),
            "loaded": In(entries), "release": In(entries), "flush": In(entries),
        })

    def elaborate(self, platform):
        m = Module()
        found, ended = self.search, self.finish
        fits, last, closing_at, void_at, new_at = (
            Signal(self.entries, name=name) for name in ("fits", "last", "closing_at", "void_at", "new_at"))
        for e in range(self.entries):
            conn = Signal(self.conn_bits, name=f"conn_{e}", init=self._first or 0)
            begins = e == 0 and self._first is not None
            state = Signal(FlowState, name=f"state_{e}", init=FlowState.RESIDENT if begins else FlowState.FREE)
            events = Signal(range(self.params.event_slots + 1), name=f"events_{e}")
            closing, void, new = Signal(name=f"closing_{e}"), Signal(name=f"void_{e}"), Signal(name=f"new_{e}")
            m.d.sync += found.match[e].eq(conn == found.conn)
            m.d.comb += [
                found.busy[e].eq((state != FlowState.FREE) & (state != FlowState.RESIDENT)),
                found.resident[e].eq(state == FlowState.RESIDENT),
                found.open[e].eq((state == FlowState.LOADING) | (state == FlowState.ACTIVE)),
                fits[e].eq(ended.select[e] & found.open[e] & (conn == ended.conn)),
                last[e].eq(ended.select[e] & (events == 1)),
                closing_at[e].eq(ended.select[e] & closing), void_at[e].eq(ended.select[e] & void),
                new_at[e].eq(ended.select[e] & new),
            ]
            with m.If(self.loaded[e] & (state == FlowState.LOADING)):
                m.d.sync += state.eq(FlowState.ACTIVE)
            with m.If(self.release[e] & (state == FlowState.WRITING_BACK)):
                m.d.sync += state.eq(Mux(closing | self.flush[e], FlowState.FREE, FlowState.RESIDENT))
            with m.If((state == FlowState.RESIDENT) & (self.flush[e] | (found.allocate.any() & found.match[e]))):
                m.d.sync += state.eq(FlowState.FREE)
            with m.If(found.allocate[e]):
                m.d.sync += [
                    conn.eq(found.conn), state.eq(FlowState.LOADING), events.eq(1),
                    closing.eq(0), void.eq(0), new.eq(found.new),
                ]
            with m.If(found.add[e]):
                m.d.sync += [events.eq(events + 1), new.eq(new | found.new)]
                with m.If(state == FlowState.RESIDENT):
                    m.d.sync += [state.eq(FlowState.ACTIVE), events.eq(1)]
            with m.If(ended.commit[e]):
                m.d.sync += [
                    events.eq(events - 1), closing.eq(closing | ended.close),
                    void.eq(void | ended.trap), new.eq(new & ended.trap),
                ]
                with m.If(events == 1):
                    m.d.sync += state.eq(Mux(void | ended.trap, FlowState.FREE, FlowState.WRITING_BACK))
        m.d.comb += [
            ended.fits.eq(fits.any()), ended.last.eq(last.any()),
            ended.closes.eq(closing_at.any() | ended.close), ended.void.eq(void_at.any() | ended.trap),
            ended.lost.eq(new_at.any() & ended.trap),
        ]
        return m
