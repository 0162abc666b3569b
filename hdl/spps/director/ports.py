"""Signatures between the parts of the director, each from the side of the part that asks."""
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FenceControl", "FlowFinish", "FlowSearch", "RestartSearch", "SlotReturn"]


class FlowSearch(wiring.Signature):
    """Dispatch -> flow CAM: where a flow is, and a place for one more event.

    `allocate` and `add` are one-hot over the entries or zero.

    Parameters
    ----------
    entries : int
        Workspaces of all cores.
    conn_bits : int
        Bits of a connection number.

    Members
    -------
    conn : Out(conn_bits)
        Connection searched for, and stored by `allocate`.
    new : Out(1)
        The lookup controller has just created it.
    match : In(entries)
        Entries that hold `conn`, in any state; one clock after `conn`.
    busy : In(entries)
        Entries that are neither FREE nor RESIDENT.
    open : In(entries)
        Entries that are LOADING or ACTIVE: they take further events.
    resident : In(entries)
        Entries that are RESIDENT.
    allocate : Out(entries)
        The entry, which is not busy, becomes LOADING with one event. A RESIDENT copy of `conn` elsewhere becomes FREE.
    add : Out(entries)
        The entry gets one more event. It is open, or RESIDENT and becomes ACTIVE.
    """

    def __init__(self, entries, conn_bits):
        super().__init__({
            "conn": Out(conn_bits), "new": Out(1),
            "match": In(entries), "busy": In(entries), "open": In(entries), "resident": In(entries),
            "allocate": Out(entries), "add": Out(entries),
        })


class FlowFinish(wiring.Signature):
    """Completion -> flow CAM: the end of an event.

    `fits` to `lost` answer `select`, `conn`, `close` and `trap` in the same clock.

    Parameters
    ----------
    entries : int
        Workspaces of all cores.

    Members
    -------
    select : Out(entries)
        Entry of the Done, one-hot, zero for a workspace that does not exist.
    conn : Out(16)
        Connection that the Done names.
    close : Out(1)
        The connection is over.
    trap : Out(1)
        The event was not processed to its end.
    commit : Out(entries)
        `select` when the Done is counted, else zero. The entry loses an event; after its last one it is WRITING_BACK,
        or FREE when its workspace is void. Not in a clock with `FlowSearch.add` or `FlowSearch.allocate`.
    fits : In(1)
        The entry is open and holds `conn`.
    last : In(1)
        It is the last event of the entry.
    closes : In(1)
        The connection ends: by this Done or one before.
    void : In(1)
        The workspace is void: by this Done or one before.
    lost : In(1)
        The connection is new, and no event of it has ended well, this one included.
    """

    def __init__(self, entries):
        super().__init__({
            "select": Out(entries), "conn": Out(16), "close": Out(1), "trap": Out(1), "commit": Out(entries),
            "fits": In(1), "last": In(1), "closes": In(1), "void": In(1), "lost": In(1),
        })


class RestartSearch(wiring.Signature):
    """Dispatch -> restart marks.

    Parameters
    ----------
    conn_bits : int
        Bits of a connection number.

    Members
    -------
    conn : Out(conn_bits)
        Connection asked for.
    unmark : Out(1)
        Removes the mark of `conn`.
    marked : In(1)
        `conn` has a mark; one clock after `conn`.
    ready : In(1)
        The marks are valid: the sweep after reset is over.
    """

    def __init__(self, conn_bits):
        super().__init__({"conn": Out(conn_bits), "unmark": Out(1), "marked": In(1), "ready": In(1)})


class SlotReturn(wiring.Signature):
    """Completion -> dispatch: event slots of cores.

    Parameters
    ----------
    cores : int
        Cores of all clusters.

    Members
    -------
    back : Out(cores)
        A core gives a slot back.
    occupied : In(cores)
        A core has deliveries without a Done.
    frozen : In(1)
        Dispatch decides: the CAM does not change in this clock, and nothing is committed.
    """

    def __init__(self, cores):
        super().__init__({"back": Out(cores), "occupied": In(cores), "frozen": In(1)})


class FenceControl(wiring.Signature):
    """Registers and clusters -> watchdog.

    Parameters
    ----------
    cores : int
        Cores of all clusters.

    Members
    -------
    limit : Out(24), clocks
        A core that holds events for so long without ending one is fenced; 0: never.
    waiting : Out(cores)
        A message of the core waits for the message bus.
    lift : Out(cores)
        Pulse: the fence of the core is lifted as soon as the core has no events left.
    fenced : In(cores)
        The core gets no events, and its cluster answers the events that it has.
    """

    def __init__(self, cores):
        super().__init__({"limit": Out(24), "waiting": Out(cores), "lift": Out(cores), "fenced": In(cores)})
