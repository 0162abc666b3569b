"""Cluster bus interface: events in, messages of all cores out."""
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import EVENT_BEATS, EventArgument
from ..layouts.event import Event
from ..layouts.message import BEAT, MessageHeader, MessageKind, beat_layout, beat_signature
from ..lib.counters import Counters
from ..lib.skid_buffer import SkidBuffer
from ..lib.stream_arbiter import StreamArbiter
from .ports import SlotPort, map_of, slot_meta

__all__ = ["ClusterBusInterface", "event_write"]


def event_write(params):
    """Layout of a beat of an event for the data memory of a core; the address counts beats."""
    return data.StructLayout({
        "core": max(1, (params.cores - 1).bit_length()), "address": (map_of(params).size - 1).bit_length() - 1,
        "data": BEAT,
    })


def _beat_of(name):
    return Event.as_shape()[name].offset // BEAT


def _event_field(beat, name):
    """Return the field `name` of an Event, out of the beat that holds it."""
    field = Event.as_shape()[name]
    return beat[field.offset % BEAT:field.offset % BEAT + field.width]


class ClusterBusInterface(wiring.Component):
    """Writes arriving events into the slots of their core, and joins the messages of the cores.

    An EVENT names its core in `source` of the header, and its workspace in the argument (EventArgument); EVENT_BEATS
    beats follow. The interface fills `source` and `cluster` of every header that leaves, so that no program can speak
    for another core.

    Parameters
    ----------
    params : SppsParams
        cores, event_slots, workspaces.
    index : int
        Number of the cluster.

    Members
    -------
    i : In(stream of beats)
        Messages to the cluster.
    o : Out(stream of beats)
        Messages of the cores, each whole.
    core : In(stream of beats), array of cores
        Messages of one core.
    o_event : Out(stream of event_write)
        Beats of events for the data memories.
    slots : Out(SlotPort), array of cores
        Tail of each core's queue.
    count : Out, pulses
        COUNTERS.

    Timing
    ------
    1 clock in, 2 clocks out. Throughput 1 beat per clock each way. An event for a core without a free slot holds `i`;
    the director never sends more than event_slots events to a core. `o` is registered.

    Drop
    ----
    A message that is no EVENT of EVENT_BEATS beats for a core and workspace of this cluster is dropped whole and
    counted (`bad_message`).

    Reset
    -----
    At the start of a message.

    Source
    ------
    Patent §VI, F3 (cluster bus interface 302). Unit numbers are fixed, so there is no routing control table (306).
    """

    COUNTERS = Counters({
        "bad_message": "messages to the cluster discarded: no EVENT of 8 beats for one of its cores and workspaces",
    })

    def __init__(self, params, *, index=0):
        self._params, self._index = params, index
        super().__init__({
            "i": In(beat_signature()), "o": Out(beat_signature()), "core": In(beat_signature()).array(params.cores),
            "o_event": Out(stream.Signature(event_write(params))), "slots": Out(SlotPort(params)).array(params.cores),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        self._take_events(m)
        self._join_messages(m)
        return m

    def _take_events(self, m):
        params, event = self._params, self.o_event
        m.submodules.entry = entry = SkidBuffer(beat_layout())
        wiring.connect(m, wiring.flipped(self.i), entry.i)
        i = entry.o
        header, argument = Signal(MessageHeader), Signal(EventArgument)
        core = Signal(event.payload.core.shape())
        workspace, load, beat = Signal(slot_meta(params)["workspace"].shape), Signal(), Signal(range(EVENT_BEATS))
        tails = Signal(data.ArrayLayout(self.slots[0].tail.shape(), params.cores))
        here, full = Signal(params.cores), Signal()     # one-hot of the core; it has no free slot
        bad, commit = self.count.bad_message, Signal()
        kept = Signal(slot_meta(params))                # what the beats so far have said of the event
        m.d.comb += [
            header.eq(i.p.data), argument.eq(header.argument), here.eq(1 << core),
            tails.eq(Cat(slots.tail for slots in self.slots)),
            full.eq((here & Cat(slots.full for slots in self.slots)).any()),
            event.p.core.eq(core), event.p.data.eq(i.p.data),
            event.p.address.eq(Cat(beat, tails[core]) + map_of(params).events // 2),
        ]
        for number, slots in enumerate(self.slots):
            m.d.comb += [
                slots.meta.eq(kept), slots.meta.load.eq(load), slots.meta.workspace.eq(workspace),
                slots.commit.eq(commit & here[number]),
            ]
        with m.FSM(name="entry"):
            with m.State("HEAD"):
                m.d.comb += i.ready.eq(1)
                m.d.sync += [
                    core.eq(header.source), workspace.eq(argument.workspace), load.eq(argument.load), beat.eq(0),
                ]
                with m.If(i.valid):
                    m.next = "BODY"
                    with m.If((header.kind != MessageKind.EVENT) | (header.source >= params.cores)
                              | (argument.workspace >= params.workspaces) | i.p.last):
                        m.d.comb += bad.eq(1)
                        m.next = "DISCARD"
                        with m.If(i.p.last):
                            m.next = "HEAD"
            with m.State("BODY"):
                m.d.comb += [event.valid.eq(i.valid & ~full), i.ready.eq(event.ready & ~full)]
                with m.If(event.valid & event.ready):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat == _beat_of("conn")):
                        m.d.sync += [kept[name].eq(_event_field(i.p.data, name)) for name in ("conn", "leg", "noflow")]
                    with m.If(beat == _beat_of("scratch_ref")):
                        m.d.sync += [kept.ref.eq(_event_field(i.p.data, "scratch_ref")),
                                     kept.payload.eq(_event_field(i.p.data, "payload_len") != 0)]
                    with m.If(beat == EVENT_BEATS - 1):
                        m.next = "DISCARD"
                        m.d.comb += bad.eq(~i.p.last)
                        with m.If(i.p.last):
                            m.d.comb += commit.eq(1)
                            m.next = "HEAD"
                    with m.Elif(i.p.last):      # too short: the slot is filled again by the next event
                        m.d.comb += bad.eq(1)
                        m.next = "HEAD"
            with m.State("DISCARD"):
                m.d.comb += i.ready.eq(1)
                with m.If(i.valid & i.p.last):
                    m.next = "HEAD"

    def _join_messages(self, m):
        m.submodules.arbiter = arbiter = StreamArbiter(beat_layout(), self._params.cores)
        for number, beats in enumerate(self.core):
            first = Signal(init=1, name=f"first{number}")
            filled = Signal(MessageHeader, name=f"header{number}")
            target = arbiter.i[number]
            m.d.comb += [
                filled.eq(beats.p.data), target.valid.eq(beats.valid), beats.ready.eq(target.ready),
                target.p.last.eq(beats.p.last), target.p.data.eq(beats.p.data),
            ]
            with m.If(first):
                m.d.comb += [target.p.data.eq(filled), filled.source.eq(number), filled.cluster.eq(self._index)]
            with m.If(beats.valid & beats.ready):
                m.d.sync += first.eq(beats.p.last)
        wiring.connect(m, arbiter.o, wiring.flipped(self.o))
