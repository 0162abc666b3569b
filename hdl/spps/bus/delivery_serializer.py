"""Deliveries of the director as EVENT messages of one cluster."""
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import EVENT_BEATS, Delivery, EventArgument
from ..layouts.message import BEAT, MessageHeader, MessageKind, Unit, beat_signature

__all__ = ["DeliverySerializer"]


class DeliverySerializer(wiring.Component):
    """Turns each Delivery into one EVENT message: the header, then the event, low beat first.

    The header's source is the core, its argument an EventArgument.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.
    cluster : int
        Number of the cluster that gets the messages.

    Members
    -------
    i : In(stream of Delivery)
        Deliveries to this cluster.
    o : Out(beats)
        EVENT messages.

    Timing
    ------
    Latency 1 clock to the header. A message takes `EVENT_BEATS` + 1 clocks, and one clock lies between messages. `i`
    waits while a message leaves.

    Drop
    ----
    None.

    Reset
    -----
    Empty.

    Source
    ------
    Patent §VI, F3.
    """

    def __init__(self, params, cluster):
        self.cluster = cluster
        super().__init__({"i": In(stream.Signature(Delivery)), "o": Out(beat_signature())})

    def elaborate(self, platform):
        m = Module()
        header, argument = Signal(MessageHeader), Signal(EventArgument)
        delivery = self.i.payload
        m.d.comb += [
            header.kind.eq(MessageKind.EVENT),
            header.unit.eq(Unit.CLUSTER0.value + self.cluster),
            header.source.eq(delivery.core),
            header.cluster.eq(self.cluster),
            header.length.eq(EVENT_BEATS),
            argument.workspace.eq(delivery.workspace), argument.load.eq(delivery.load), header.argument.eq(argument),
        ]
        shift = Signal(data.ArrayLayout(BEAT, EVENT_BEATS + 1))
        left = Signal(range(EVENT_BEATS + 2))   # beats still to be sent
        m.d.comb += [
            self.i.ready.eq(left == 0),
            self.o.valid.eq(left != 0),
            self.o.payload.data.eq(shift[0]),
            self.o.payload.last.eq(left == 1),
        ]
        with m.If((left == 0) & self.i.valid):
            m.d.sync += [shift.eq(Cat(header, delivery.event)), left.eq(EVENT_BEATS + 1)]
        with m.Elif(self.o.valid & self.o.ready):
            m.d.sync += [shift.eq(shift.as_value() >> BEAT), left.eq(left - 1)]
        return m
