"""Cluster bus interface: events in, messages of all cores out."""
from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import EVENT_WORDS, Event
from ..layouts.message import BEAT, MessageHeader, MessageKind, beat_layout
from ..lib.skid_buffer import SkidBuffer
from ..lib.stream_arbiter import StreamArbiter
from .cluster_dma import event_write
from .data_memory import map_of
from .event_slots import slot_meta

__all__ = ["ClusterBusInterface", "LOAD_FLAG"]

LOAD_FLAG = 4       # bit of the argument of EVENT: a LOAD of the workspace accompanies this event
_BEATS = EVENT_WORDS * 32 // BEAT


def _beat_of(name):
    return Event.as_shape()[name].offset // BEAT


def _event_field(beat, name):
    """The field `name` of an Event, out of the beat that holds it."""
    field = Event.as_shape()[name]
    return beat[field.offset % BEAT:field.offset % BEAT + field.width]


class ClusterBusInterface(wiring.Component):
    """Writes arriving events into the slots of their core, and joins the messages of the cores.

    Source: patent §VI, F3 (cluster bus interface 302, routing control 306).
    Parameters: params.cores, params.event_slots, params.workspaces; index: number of the cluster.
    Members: i, o beats of the message bus; core: streams of beats from the cores; event, event_valid, event_ready: beats for the data
    memories; tail, full: of each core's slots; meta, commit: to the slots (one bit per core); count.
    EVENT: header.source is the core, argument bits 3..0 the workspace, bit 4: a LOAD accompanies it; 8 beats follow.
    Latency: 1 clock in, 2 clocks out. Throughput: 1 beat per clock each way.
    Backpressure: an event for a core without a free slot holds i; the director never sends more than event_slots to a
    core. o is registered.
    Drop: not an EVENT, or no such core or workspace, or not 8 beats: whole message, COUNTERS bad_message.
    Reset: at the start of a message.
    """

    COUNTERS = ("bad_message",)

    def __init__(self, params, *, index=0):
        self._params, self._index = params, index
        slot = (params.event_slots - 1).bit_length()
        super().__init__({
            "i": In(stream.Signature(beat_layout())), "o": Out(stream.Signature(beat_layout())),
            "core": In(stream.Signature(beat_layout())).array(params.cores),
            "event": Out(event_write(params)), "event_valid": Out(1), "event_ready": In(1),
            "tail": In(data.ArrayLayout(slot, params.cores)), "full": In(params.cores),
            "meta": Out(slot_meta(params)), "commit": Out(params.cores),
            "count": Out(len(self.COUNTERS)),
        })

    def elaborate(self, platform):
        m = Module()
        params = self._params

        # --- in
        m.submodules.entry = entry = SkidBuffer(beat_layout())
        wiring.connect(m, wiring.flipped(self.i), entry.i)
        i = entry.o
        header = Signal(MessageHeader)
        core = Signal(event_write(params)["core"].shape)
        workspace, load, beat = Signal(slot_meta(params)["workspace"].shape), Signal(), Signal(range(_BEATS))
        here = Signal(params.cores)     # one-hot of the core
        bad = Signal()
        kept = Signal(slot_meta(params))        # what the beats so far have said of the event
        m.d.comb += [
            header.eq(i.p.data), self.count.eq(bad),
            here.eq(1 << core),
            self.event.core.eq(core), self.event.data.eq(i.p.data),
            self.event.address.eq(Cat(beat, self.tail[core]) + map_of(params).events // 2),
            self.meta.eq(kept), self.meta.load.eq(load), self.meta.workspace.eq(workspace),
        ]
        with m.FSM(name="entry"):
            with m.State("HEAD"):
                m.d.comb += i.ready.eq(1)
                m.d.sync += [core.eq(header.source), workspace.eq(header.argument), load.eq(header.argument[LOAD_FLAG]),
                             beat.eq(0)]
                with m.If(i.valid):
                    m.next = "BODY"
                    with m.If((header.kind != MessageKind.EVENT) | (header.source >= params.cores)
                              | (header.argument[:LOAD_FLAG] >= params.workspaces) | i.p.last):
                        m.d.comb += bad.eq(1)
                        m.next = "DISCARD"
                        with m.If(i.p.last):
                            m.next = "HEAD"
            with m.State("BODY"):
                m.d.comb += [
                    self.event_valid.eq(i.valid & ~self.full.bit_select(core, 1)),
                    i.ready.eq(self.event_ready & ~self.full.bit_select(core, 1)),
                ]
                with m.If(self.event_valid & self.event_ready):
                    m.d.sync += beat.eq(beat + 1)
                    with m.If(beat == _beat_of("conn")):
                        m.d.sync += [kept[name].eq(_event_field(i.p.data, name)) for name in ("conn", "leg", "noflow")]
                    with m.If(beat == _beat_of("scratch_ref")):
                        m.d.sync += [kept.ref.eq(_event_field(i.p.data, "scratch_ref")),
                                     kept.payload.eq(_event_field(i.p.data, "payload_len") != 0)]
                    with m.If(beat == _BEATS - 1):
                        m.next = "DISCARD"
                        m.d.comb += bad.eq(~i.p.last)
                        with m.If(i.p.last):
                            m.d.comb += self.commit.eq(here)
                            m.next = "HEAD"
                    with m.Elif(i.p.last):      # too short: the slot is filled again by the next event
                        m.d.comb += bad.eq(1)
                        m.next = "HEAD"
            with m.State("DISCARD"):
                m.d.comb += i.ready.eq(1)
                with m.If(i.valid & i.p.last):
                    m.next = "HEAD"

        # --- out: the header is completed here, so that no program can speak for another core
        m.submodules.arbiter = arbiter = StreamArbiter(beat_layout(), params.cores)
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
        return m
