"""Takes the messages of one cluster apart by addressed unit."""
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.director import EVENT_BEATS, CoreDone, Done
from ..layouts.event import Event, FlowKey
from ..layouts.lookup import SYN_FIELDS, KeyArgument, LookupCommand, LookupOp, Replay, ReplayArgument
from ..layouts.message import BEAT, MessageHeader, MessageKind, Unit, beat_layout, beat_signature
from ..layouts.neighbour import Learned
from ..lib.counters import Counters
from ..lib.skid_buffer import SkidBuffer

__all__ = ["MessageRouter"]

#: messages that go to the socket memory controller as they are
_SOCKET_KINDS = (MessageKind.COPY, MessageKind.RELEASE, MessageKind.OUTPUT, MessageKind.SYNC, MessageKind.CONSUMED)
#: kinds for the lookup controller, and the command each becomes
_COMMANDS = {
    MessageKind.INSERT: LookupOp.INSERT, MessageKind.DELETE: LookupOp.DELETE,
    MessageKind.ESTABLISHED: LookupOp.ESTABLISHED, MessageKind.NOTE: LookupOp.NOTE,
    MessageKind.TIME_WAIT: LookupOp.TIME_WAIT, MessageKind.COVERED: LookupOp.COVERED,
}
#: those with a key behind the header; the others are a header alone
_KEY_KINDS = (MessageKind.INSERT, MessageKind.DELETE)
#: bits of the count of lookup commands on their way: at most two are in the arbiter's skid buffer and one is offered
_PENDING_BITS = 3


def _fields_of_beat(n):
    """[(name, low, high)]: bits of the fields of a Syn that lie in beat n of an Event."""
    layout = Event.as_shape()
    found = ((name, layout[name].offset - n * BEAT, layout[name].width) for name in SYN_FIELDS)
    return [(name, low, low + width) for name, low, width in found if 0 <= low < BEAT]


def _end_of_message(m, beat, bad_length, state):
    """The beat has to be the last of its message: go on with `state`, else count it and discard what follows."""
    m.next = state
    with m.If(~beat.last):
        m.d.comb += bad_length.eq(1)
        m.next = "DISCARD"


def _offer(m, output):
    """Offer what has been read, then read the next message."""
    m.d.comb += output.valid.eq(1)
    with m.If(output.ready):
        m.next = "HEADER"


class MessageRouter(wiring.Component):
    """Routes each message of a cluster to the director, the lookup controller, socket memory or the neighbour table.

    A Done is held until every lookup command that the same cluster sent before it has left the bus, so that a
    connection's id does not become free while its keys are still in the table. So is a SYN that is to be looked up
    again, so that it does not meet the keys that were deleted before.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.
    cluster : int
        Number of the cluster, which becomes `CoreDone.cluster`.

    Members
    -------
    i : In(beats)
        Messages of the cluster.
    o_done : Out(stream of CoreDone)
        Ends of events, for the director.
    o_lookup : Out(stream of LookupCommand)
        Commands for the lookup controller.
    o_replay : Out(stream of Replay)
        SYNs to be looked up again.
    o_socket : Out(beats)
        Messages for the socket memory controller, with their headers.
    o_learn : Out(stream of Learned)
        Addresses for the neighbour table.
    lookup_left : In(1)
        A lookup command of this cluster leaves the bus in this clock.
    count : Out(COUNTERS.layout)
        Pulses.

    Timing
    ------
    Latency 2 clocks to `o_socket`, 2 after the last beat to the other outputs. Throughput 1 beat per clock, and one
    clock more per message. A target that waits holds the later messages of this cluster, and of no other.

    Drop
    ----
    bad_unit, bad_length : the message is discarded up to its `last`.

    Reset
    -----
    Empty.

    Source
    ------
    Patent §VI, F3 (message bus 314), F7 742.
    """

    COUNTERS = Counters({
        "bad_unit": "messages for an unknown unit, or of a kind that the unit does not take",
        "bad_length": "messages for the director, lookup controller or neighbour table with too few or too many beats",
    })

    def __init__(self, params, cluster):
        self.cluster = cluster
        super().__init__({
            "i": In(beat_signature()),
            "o_done": Out(stream.Signature(CoreDone)),
            "o_lookup": Out(stream.Signature(LookupCommand)),
            "o_replay": Out(stream.Signature(Replay)),
            "o_socket": Out(beat_signature()),
            "o_learn": Out(stream.Signature(Learned)),
            "lookup_left": In(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.skid = skid = SkidBuffer(beat_layout())
        wiring.connect(m, wiring.flipped(self.i), skid.i)
        beat, valid = skid.o.payload, skid.o.valid
        bad_unit, bad_length = Signal(), Signal()
        m.d.sync += [self.count.bad_unit.eq(bad_unit), self.count.bad_length.eq(bad_length)]

        pending = Signal(_PENDING_BITS)     # lookup commands on their way through the bus
        sent = Signal()
        m.d.comb += sent.eq(self.o_lookup.valid & self.o_lookup.ready)
        m.d.sync += pending.eq(pending + sent - self.lookup_left)

        command, done = self.o_lookup.payload, self.o_done.payload
        key_low, key_high = Signal(BEAT), Signal(FlowKey.as_shape().size - BEAT)
        m.d.comb += [
            self.o_socket.payload.eq(beat), done.cluster.eq(self.cluster),
            command.key.as_value()[:BEAT].eq(key_low), command.key.as_value()[BEAT:].eq(key_high),
        ]
        index = Signal(range(EVENT_BEATS))
        replay = Signal(Replay)
        m.d.comb += [self.o_replay.payload.eq(replay), self.o_replay.payload.syn.again.eq(1)]

        core, done_word = Signal(4), Signal(Done)
        learned, learn_argument = self.o_learn.payload, Signal.like(self.o_learn.payload.argument)
        m.d.comb += [
            done.core.eq(core), done.done.eq(done_word), learned.argument.eq(learn_argument), learned.body.eq(key_low),
        ]

        with m.FSM():
            with m.State("HEADER"):
                with m.If(valid):
                    self._read_header(m, skid.o, core, learn_argument, bad_unit, bad_length)
                    argument = ReplayArgument(MessageHeader(beat.data).argument)
                    m.d.sync += [index.eq(0), replay["wait"].eq(argument["wait"])]
            with m.State("FORWARD"):
                m.d.comb += [self.o_socket.valid.eq(valid), skid.o.ready.eq(self.o_socket.ready)]
                with m.If(valid & skid.o.ready & beat.last):
                    m.next = "HEADER"
            with m.State("DISCARD"):
                m.d.comb += skid.o.ready.eq(1)
                with m.If(valid & beat.last):
                    m.next = "HEADER"
            with m.State("READ_DONE"):
                m.d.comb += skid.o.ready.eq(1)
                m.d.sync += done_word.eq(beat.data)
                with m.If(valid):
                    _end_of_message(m, beat, bad_length, "HOLD_DONE")
            with m.State("HOLD_DONE"):
                with m.If(pending == 0):
                    m.next = "SEND_DONE"
            with m.State("SEND_DONE"):
                _offer(m, self.o_done)
            with m.State("READ_SYN"):
                m.d.comb += skid.o.ready.eq(1)
                with m.Switch(index):
                    for n in range(EVENT_BEATS):
                        with m.Case(n):
                            m.d.sync += [replay.syn[name].eq(beat.data[low:high])
                                         for name, low, high in _fields_of_beat(n)]
                with m.If(valid):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == EVENT_BEATS - 1):
                        _end_of_message(m, beat, bad_length, "HOLD_SYN")
                    with m.Elif(beat.last):
                        m.d.comb += bad_length.eq(1)
                        m.next = "HEADER"
            with m.State("HOLD_SYN"):
                with m.If(pending == 0):
                    m.next = "SEND_SYN"
            with m.State("SEND_SYN"):
                _offer(m, self.o_replay)
            with m.State("READ_LOW"):
                m.d.comb += skid.o.ready.eq(1)
                m.d.sync += key_low.eq(beat.data)
                with m.If(valid):
                    m.next = "READ_HIGH"
                    with m.If(beat.last):
                        m.d.comb += bad_length.eq(1)
                        m.next = "HEADER"
            with m.State("READ_HIGH"):
                m.d.comb += skid.o.ready.eq(1)
                m.d.sync += key_high.eq(beat.data)
                with m.If(valid):
                    _end_of_message(m, beat, bad_length, "SEND_COMMAND")
            with m.State("SEND_COMMAND"):
                _offer(m, self.o_lookup)
            with m.State("READ_LEARNED"):
                m.d.comb += skid.o.ready.eq(1)
                m.d.sync += key_low.eq(beat.data)
                with m.If(valid):
                    _end_of_message(m, beat, bad_length, "SEND_LEARNED")
            with m.State("SEND_LEARNED"):
                _offer(m, self.o_learn)
        return m

    def _read_header(self, m, source, core, learn_argument, bad_unit, bad_length):
        """Chooses the way of the message whose header is at `source`, and keeps what its target needs of the header."""
        beat, command = source.payload, self.o_lookup.payload
        header = MessageHeader(beat.data)
        argument = KeyArgument(header.argument)

        def is_kind(kinds):
            return sum((header.kind == kind for kind in kinds[1:]), header.kind == kinds[0]) != 0

        to_lookup = header.unit == Unit.LOOKUP
        is_key = to_lookup & is_kind(_KEY_KINDS)
        is_short = to_lookup & is_kind([kind for kind in _COMMANDS if kind not in _KEY_KINDS])
        with m.If((header.unit == Unit.SOCKET) & is_kind(_SOCKET_KINDS)):
            m.next = "FORWARD"
        with m.Else():
            m.d.comb += source.ready.eq(1)
            m.d.sync += [
                core.eq(header.source), command.conn.eq(argument.conn), command.leg.eq(argument.leg),
                command.half_open.eq(argument.half_open), learn_argument.eq(header.argument),
            ]
            with m.Switch(header.kind):
                for kind, op in _COMMANDS.items():
                    with m.Case(kind):
                        m.d.sync += command.op.eq(op)
            with m.If((header.unit == Unit.DIRECTOR) & (header.kind == MessageKind.DONE)):
                m.next = "READ_DONE"
                m.d.comb += bad_length.eq(beat.last)
            with m.Elif(is_key):
                m.next = "READ_LOW"
                m.d.comb += bad_length.eq(beat.last)
            with m.Elif(to_lookup & (header.kind == MessageKind.REPLAY)):
                m.next = "READ_SYN"
                m.d.comb += bad_length.eq(beat.last)
            with m.Elif(is_short):
                m.next = "DISCARD"
                m.d.comb += bad_length.eq(~beat.last)
            with m.Elif((header.unit == Unit.NEIGHBOUR) & (header.kind == MessageKind.LEARN)):
                m.next = "READ_LEARNED"
                m.d.comb += bad_length.eq(beat.last)
            with m.Else():
                m.next = "DISCARD"
                m.d.comb += bad_unit.eq(1)
            with m.If(beat.last):
                m.next = "HEADER"
                with m.If(is_short):
                    m.next = "SEND_COMMAND"
