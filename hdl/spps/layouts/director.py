"""Messages of the director: an event for a core, its end, and the deadline that goes with it.

Source: patent §III.D to H, §VI.
"""
from amaranth.hdl import unsigned
from amaranth.lib import data, enum

from .event import Event
from .message import BEAT

__all__ = ["EVENT_BEATS", "CoreDone", "Delivery", "Done", "EndCause", "EndOperand", "EventArgument", "TimerAnswer",
           "TimerSet"]

EVENT_BEATS = Event.as_shape().size // BEAT


class EventArgument(data.Struct):
    """Argument of EVENT."""

    workspace: unsigned(4)
    load: unsigned(1)       # a DMA LOAD of this workspace was issued: the core waits for it
    spare: unsigned(27)


class EndCause(enum.Enum, shape=2):
    """Why a program ends a connection, as far as that is counted."""

    OTHER = 0
    KEEPALIVE = 1   # a peer answered no keepalive probe
    IDLE = 2        # no data for `idle_limit`


class EndOperand(data.Struct):
    """Second operand of `eoe`, lowest bits."""

    close: unsigned(1)      # the connection is over
    cause: EndCause         # with close: why


class Done(data.Struct):
    """End of event (one beat)."""

    conn: unsigned(16)
    workspace: unsigned(4)
    close: unsigned(1)      # the connection is over: free conn when its event counter is zero
    noflow: unsigned(1)     # the event had no flow: nothing to count or write back
    trap: unsigned(1)       # the event was not processed to its end: the workspace is void
    cause: EndCause         # with close: why
    spare: unsigned(7)
    deadline: unsigned(32)  # absolute tick of the next TIMER event, 0: none


class Delivery(data.Struct):
    """Director -> bus: an event for a core."""

    event: Event
    cluster: unsigned(4)
    core: unsigned(4)
    workspace: unsigned(4)
    load: unsigned(1)       # a DMA LOAD of this workspace was issued: the core waits for it


class CoreDone(data.Struct):
    """Bus -> director: Done with the sender that the header named."""

    done: Done
    cluster: unsigned(4)
    core: unsigned(4)


class TimerAnswer(data.Struct):
    """Director -> timer unit: what became of a timer event."""

    conn: unsigned(16)
    taken: unsigned(1)      # it goes to a core; 0: refused, as the flow has events or no core can take it now


class TimerSet(data.Struct):
    """Director -> timer unit: the next deadline of a connection, as its last end of event gave it."""

    conn: unsigned(16)
    deadline: unsigned(32)
