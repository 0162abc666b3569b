"""The content-addressable memory of flows that have events at cores."""
from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import enum, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FlowCam", "FlowState"]


class FlowState(enum.Enum, shape=3):
    FREE = 0
    LOADING = 1         # events may be queued at the core, which waits for its workspace
    ACTIVE = 2
    WRITING_BACK = 3    # no event goes in; flowstate memory must not be read
    RESIDENT = 4        # no events; the workspace holds what flowstate memory holds


class FlowCam(wiring.Component):
    """One entry per workspace of each core; the number of the entry is core * workspaces + workspace.

    An entry holds the connection, its state, the number of its events at the core, whether it is to be closed, whether an event
    trapped (the workspace is void), and whether the connection is new and no event of it has ended well.
    Source: patent §III.D–H, F5, F6.

    Parameters: params; resident: a connection that is in entry 0 at reset, where proofs begin.
    Members: conn: In, searched and stored; match: Out, entries whose connection it is, one clock later, whatever their state;
    busy, open, resident: entries neither FREE nor RESIDENT; LOADING or ACTIVE; RESIDENT. flush: RESIDENT entries become FREE.
    Commands, each one-hot over the entries and only legal as written: allocate (not busy: LOADING with one event, for a new
    connection if `new`; a RESIDENT copy of the connection elsewhere becomes FREE), add (open: one more event; RESIDENT: ACTIVE with
    one event), finish (open: one event less; close makes the entry closing, trap makes it void; the last one makes it WRITING_BACK,
    or FREE if it is void), loaded (LOADING: ACTIVE), release (WRITING_BACK: RESIDENT, or FREE if the connection has ended).
    finish_conn: checked by finish_ok: In-conn belongs to the entry and it is open; finish_last: it is the last event;
    finish_close: the connection ends with it; finish_void: the workspace is void; finish_lost: so is all there ever was of the
    connection. add and finish never come in one clock.
    Latency: match 1 clock. Reset: all FREE.
    """

    def __init__(self, params, *, resident=None):
        self.params, self._first = params, resident
        self.entries = entries = params.total_cores * params.workspaces
        self.conn_bits = (params.connections - 1).bit_length()
        each = {name: In(entries) for name in ("allocate", "add", "finish", "loaded", "release")}
        super().__init__({
            "conn": In(self.conn_bits), "match": Out(entries), "busy": Out(entries), "open": Out(entries), "resident": Out(entries),
            "new": In(1), "flush": In(entries),
            **each,
            "finish_select": In(entries), "finish_conn": In(16), "close": In(1), "trap": In(1),
            "finish_ok": Out(1), "finish_last": Out(1), "finish_close": Out(1), "finish_void": Out(1), "finish_lost": Out(1),
        })

    def elaborate(self, platform):
        m = Module()
        ok, last, closing_at, void_at, new_at = (Signal(self.entries, name=name) for name in ("ok", "last", "closing_at", "void_at", "new_at"))
        for e in range(self.entries):
            conn = Signal(self.conn_bits, name=f"conn_{e}", init=self._first or 0)
            begins = e == 0 and self._first is not None
            state = Signal(FlowState, name=f"state_{e}", init=FlowState.RESIDENT if begins else FlowState.FREE)
            events = Signal(range(self.params.event_slots + 1), name=f"events_{e}")
            closing, void, new = Signal(name=f"closing_{e}"), Signal(name=f"void_{e}"), Signal(name=f"new_{e}")
            m.d.sync += self.match[e].eq(conn == self.conn)
            m.d.comb += [
                self.busy[e].eq((state != FlowState.FREE) & (state != FlowState.RESIDENT)),
                self.resident[e].eq(state == FlowState.RESIDENT),
                self.open[e].eq((state == FlowState.LOADING) | (state == FlowState.ACTIVE)),
                ok[e].eq(self.finish_select[e] & self.open[e] & (conn == self.finish_conn)),
                last[e].eq(self.finish_select[e] & (events == 1)),
                closing_at[e].eq(self.finish_select[e] & closing), void_at[e].eq(self.finish_select[e] & void),
                new_at[e].eq(self.finish_select[e] & new),
            ]
            with m.If(self.loaded[e] & (state == FlowState.LOADING)):
                m.d.sync += state.eq(FlowState.ACTIVE)
            with m.If(self.release[e] & (state == FlowState.WRITING_BACK)):
                m.d.sync += state.eq(Mux(closing | self.flush[e], FlowState.FREE, FlowState.RESIDENT))
            with m.If((state == FlowState.RESIDENT) & (self.flush[e] | (self.allocate.any() & self.match[e]))):
                m.d.sync += state.eq(FlowState.FREE)
            with m.If(self.allocate[e]):
                m.d.sync += [conn.eq(self.conn), state.eq(FlowState.LOADING), events.eq(1), closing.eq(0), void.eq(0), new.eq(self.new)]
            with m.If(self.add[e]):
                m.d.sync += [events.eq(events + 1), new.eq(new | self.new)]
                with m.If(state == FlowState.RESIDENT):
                    m.d.sync += [state.eq(FlowState.ACTIVE), events.eq(1)]
            with m.If(self.finish[e]):
                m.d.sync += [events.eq(events - 1), closing.eq(closing | self.close), void.eq(void | self.trap), new.eq(new & self.trap)]
                with m.If(events == 1):
                    m.d.sync += state.eq(Mux(void | self.trap, FlowState.FREE, FlowState.WRITING_BACK))
        m.d.comb += [
            self.finish_ok.eq(ok.any()), self.finish_last.eq(last.any()),
            self.finish_close.eq(closing_at.any() | self.close), self.finish_void.eq(void_at.any() | self.trap),
            self.finish_lost.eq(new_at.any() & self.trap),
        ]
        return m
