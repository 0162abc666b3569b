"""Finds the connection of each event, makes new ones, and carries out commands on the flow table."""
from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.event import Event, EventKind, FlowKey, TimerCause
from ..layouts.headers import IpProtocol, TcpFlag
from ..layouts.lookup import SYN_FIELDS, LookupCommand, LookupOp, ProgramNote, Replay
from ..lib.counters import Counters
from .conn_allocator import ConnAllocator
from .flow_hash import FlowHash, FlowHasher
from .flow_table import FlowTable, TableOp
from .marks import MarkOp
from .quick_list import QuickList
from .time_wait_queue import TimeWaitQueue
from .waiting_syns import WaitingSyns

__all__ = ["LookupController"]

#: flags that decide whether a segment opens a connection: SYN alone does
_OPENING = TcpFlag.SYN | TcpFlag.RST | TcpFlag.ACK


class LookupController(wiring.Component):
    """Fills `conn`, `leg`, `new`, `noflow` and the flow hash of each event, in order.

    A TCP SYN without ACK and RST that has no flow creates one; other TCP without a flow goes on with `noflow`, and so
    does every other kind but ICMP. ICMP has the key of the segment that it quotes, and is dropped if that has no flow.
    `sack_left` of a `new` event is the keyed hash of its key. An established flow never makes room for a new one, and
    a new one is half-open until the program says ESTABLISHED, by which it can also make it so again, after a takeover.
    There are at most `half_open_limit` half-open flows, so a flood of SYNs leaves ids for others.

    When every id is in use, a SYN ends the connection that has been in TIME-WAIT longest: it waits while a RECYCLE
    event has that connection retired, and is looked up again when an id is free. A SYN also waits for an id that is
    about to be free. Without such an id it is refused: it goes on with `noflow`, which the program answers with RST,
    or is dropped if `silent`. A core sends a SYN back (`i_replay`) that has met a connection that is over.

    Parameters
    ----------
    params : SppsParams
        Sizes of the unit.
    flow_hash : FlowHash, optional
        The hash of keys.

    Members
    -------
    i_event : In(stream of Event)
        Events of the splitter.
    o_event : Out(stream of Event)
        The same events with their flows.
    i_cmd : In(stream of LookupCommand)
        Commands of cores, director and failover unit.
    i_replay : In(stream of Replay, always ready)
        SYNs that cores send back.
    o_drop : Out(stream of 16 bits)
        Scratch references of dropped events with payload.
    secret : In(64)
        Key of the hash, constant while the table is in use.
    active : In(1)
        This unit is the active one.
    half_open_limit : In(16), connections
        Most half-open connections; 0: no limit.
    silent : In(1)
        A SYN for which there is no place is dropped; 0: it goes on with `noflow`.
    in_use : Out(range(connections + 1)), connections
        Connections in use.
    half_open : Out(range(connections + 1)), connections
        Those of them whose handshake is not complete.
    exposed : Out(range(connections + 1)), connections
        Those in use that are neither half-open nor COVERED.
    uncover : In(1)
        One clock: no connection is covered any more.
    sweeping : Out(1)
        From the clock after `uncover` until that is done. `exposed` is wrong meanwhile.
    scan_conn : In(16)
        Connection that the timer unit asks about.
    scan_valid : Out(1)
        It is in use; one clock later.
    count : Out(COUNTERS.layout)
        Pulses. Events in + retried = hits + created + noflow + standby_drop + refused + icmp_noflow + parked.

    Timing
    ------
    Latency 4 clocks without a flow or when the quick list knows it, else 29 to 37 (hash 19, table 5 to 13). One event
    or command at a time. Commands go first and are served while `o_event` or `o_drop` wait, so a unit that waits for
    a command never waits for an event. A PURGE looks at every slot, two clocks each. A new connection may wait for
    the allocator's scan, two clocks per id in use. What changes the state of a connection waits after `uncover`, a
    clock per connection.

    Drop
    ----
    standby_drop : an event while the unit is standby.
    icmp_noflow : an ICMP event about a flow that does not exist.
    refused : a SYN beyond the limit of handshakes; with `silent` also one without a place (table_full: no free id,
    insert_failed: both buckets full).
    replay_lost : a SYN that a core sent back while others waited.
    insert_failed, delete_missing, bad_conn : a command without effect on the table.

    Reset
    -----
    A sweep of four clocks per connection, during which everything waits; then no flow is known.

    Source
    ------
    Patent §III.A–C, F7 734.
    """

    COUNTERS = Counters({
        "hits": "TCP and ICMP events with a known flow",
        "quick_hits": "TCP and ICMP events whose flow was in the quick list",
        "created": "TCP SYNs that made a connection",
        "noflow": "events that went on without a flow",
        "standby_drop": "events dropped because the unit was standby",
        "refused": "TCP SYNs dropped because no connection could be made",
        "table_full": "TCP SYNs refused, with RST or silently, because every connection was in use",
        "half_open_refused": "TCP SYNs dropped because of the limit on handshakes",
        "recycled": "connections ended in TIME-WAIT because a SYN needed their place",
        "parked": "TCP SYNs that had to wait for a connection to end",
        "replayed": "TCP SYNs that a core sent back, as their connection was over",
        "replay_lost": "TCP SYNs that a core sent back, dropped because others waited",
        "retried": "lookups of SYNs that had waited or had been sent back",
        "insert_failed": "new keys not stored because both their buckets were full",
        "delete_missing": "DELETE commands for a key that was not there",
        "purged": "PURGE commands",
        "bad_conn": "commands for a connection that does not exist, ignored",
        "icmp_noflow": "ICMP events dropped because the segment they quote is of no flow",
        **{note.counter: note.text for note in ProgramNote},
    })

    def __init__(self, params, flow_hash=None):
        self.params = params
        self.flow_hash = flow_hash or FlowHash()
        super().__init__({
            "i_event": In(stream.Signature(Event)),
            "o_event": Out(stream.Signature(Event)),
            "i_cmd": In(stream.Signature(LookupCommand)),
            "i_replay": In(stream.Signature(Replay, always_ready=True)),
            "o_drop": Out(stream.Signature(unsigned(16))),
            "secret": In(64),
            "active": In(1),
            "half_open_limit": In(16),
            "silent": In(1),
            "in_use": Out(range(params.connections + 1)),
            "half_open": Out(range(params.connections + 1)),
            "exposed": Out(range(params.connections + 1)),
            "uncover": In(1),
            "sweeping": Out(1),
            "scan_conn": In(16),
            "scan_valid": Out(1),
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.hasher = self._hasher = hasher = FlowHasher(self.flow_hash)
        m.submodules.table = self._table = table = FlowTable(self.params)
        m.submodules.quick = self._quick = QuickList(table.conn_bits, self.params.quick_entries)
        m.submodules.allocator = self._allocator = allocator = ConnAllocator(self.params)
        m.submodules.time_wait = self._time_wait = time_wait = TimeWaitQueue(self.params)
        m.submodules.waiting = self._waiting = waiting = WaitingSyns()
        self._pulse = Signal(self.COUNTERS.layout)
        m.d.sync += self.count.eq(self._pulse)

        self._key = Signal(FlowKey)
        self._command = command = Signal(LookupCommand)
        self._serving = serving = Signal()      # a command, otherwise an event
        self._recycles = Signal()               # the event in hand is RECYCLE
        self._creates = creates = Signal()      # the event makes a flow if it has none
        self._crowded = crowded = Signal()      # too many handshakes
        self._room = room = Signal()            # a new flow may be made
        m.d.comb += [
            crowded.eq((self.half_open_limit != 0) & (allocator.half_open >= self.half_open_limit)),
            room.eq(allocator.next_valid & ~crowded),
        ]
        self._wire_parts(m)
        self._ask(m)

        for output in (self.o_event, self.o_drop):
            with m.If(output.ready):
                m.d.sync += output.valid.eq(0)
        with m.FSM():
            with m.State("ACCEPT"):
                self._accept(m)
            with m.State("CHECK_COMMAND"):
                m.next = "HASH"
                with m.If(command.op == LookupOp.NOTE):
                    m.d.comb += [self._pulse[note.counter].eq(command.conn == note.value) for note in ProgramNote]
                    m.next = "ACCEPT"
                with m.Elif(command.conn >= self.params.connections):
                    m.d.comb += self._pulse.bad_conn.eq(1)
                    m.next = "ACCEPT"
                with m.Elif((command.op == LookupOp.FREE) | (command.op == LookupOp.ESTABLISHED)
                            | (command.op == LookupOp.TIME_WAIT) | (command.op == LookupOp.COVERED)):
                    m.next = "MARK"
                with m.Elif(command.op == LookupOp.PURGE):
                    m.next = "ASK_TABLE"
            with m.State("ASK_QUICK"):      # the quick list compares in this clock
                m.next = "CLASSIFY"
            with m.State("CLASSIFY"):
                self._classify(m)
            with m.State("HASH"):
                m.d.comb += hasher.i.valid.eq(1)
                with m.If(hasher.i.ready):
                    m.next = "ASK_TABLE"
            with m.State("ASK_TABLE"):
                # an id that can be found is waited for; the scan is bounded
                full = allocator.in_use == self.params.connections
                found = serving | ~creates | crowded | allocator.next_valid | full
                unhashed = serving & (command.op == LookupOp.PURGE)
                m.d.comb += table.i.valid.eq((hasher.o.valid | unhashed) & found)
                with m.If(table.i.valid & table.i.ready):
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                # a SYN that a core sends back goes first into the FIFO of those that wait
                answered = table.o.valid & ~self.i_replay.valid
                m.d.comb += [table.o.ready.eq(~self.i_replay.valid), hasher.o.ready.eq(answered)]
                with m.If(answered):
                    m.next = "ACCEPT"
                    with m.If(serving):
                        self._end_command(m)
                    with m.Else():
                        self._end_event(m)
            with m.State("MARK"):
                both = allocator.i_mark.ready & time_wait.i_mark.ready
                m.d.comb += [allocator.i_mark.valid.eq(both), time_wait.i_mark.valid.eq(both)]
                with m.If(both):
                    m.d.comb += waiting.freed.eq(serving & (allocator.i_mark.payload.op == MarkOp.FREE))
                    with m.If(~serving):
                        m.d.sync += self.o_event.valid.eq(1)
                    m.next = "ACCEPT"
        return m

    def _wire_parts(self, m):
        """Key and answer to the parts, status of the allocator out."""
        hasher, quick, allocator, key = self._hasher, self._quick, self._allocator, self._key
        answer = self._table.o.payload
        m.d.comb += [
            self.in_use.eq(allocator.in_use), self.half_open.eq(allocator.half_open),
            self.exposed.eq(allocator.exposed), self.sweeping.eq(allocator.sweeping),
            allocator.uncover.eq(self.uncover),
            allocator.scan_conn.eq(self.scan_conn), self.scan_valid.eq(allocator.scan_valid),
            hasher.secret.eq(self.secret), hasher.i.payload.eq(key),
            quick.key.eq(key), quick.new_conn.eq(answer.conn), quick.new_leg.eq(answer.leg),
            self._time_wait.i_mark.payload.eq(allocator.i_mark.payload), self._waiting.flush.eq(~self.active),
            self._pulse.replayed.eq(self.i_replay.valid), self._pulse.replay_lost.eq(self._waiting.lost),
        ]
        wiring.connect(m, wiring.flipped(self.i_replay), self._waiting.i_replay)
        m.d.comb += [self._waiting.i_syn.payload[name].eq(self.o_event.payload[name]) for name in SYN_FIELDS]
        m.d.comb += self._waiting.i_syn.payload.again.eq(self.o_event.payload.again)

    def _ask(self, m):
        """What the table is asked and the allocator is told, for the command or event in hand."""
        command, serving, allocator = self._command, self._serving, self._allocator
        ask, mark = self._table.i.payload, allocator.i_mark.payload
        m.d.comb += [
            ask.key.eq(self._key), ask.hash.eq(self._hasher.o.payload[:32]),
            ask.conn.eq(Mux(serving, command.conn, allocator.next)), ask.leg.eq(serving & command.leg),
        ]
        with m.If(serving):
            m.d.comb += mark.conn.eq(command.conn)
            with m.Switch(command.op):
                with m.Case(LookupOp.INSERT):
                    m.d.comb += [ask.op.eq(TableOp.STORE), mark.op.eq(MarkOp.INSERT)]
                with m.Case(LookupOp.PURGE):
                    m.d.comb += [ask.op.eq(TableOp.PURGE), mark.op.eq(MarkOp.FREE)]
                with m.Case(LookupOp.ESTABLISHED):
                    m.d.comb += mark.op.eq(Mux(command.half_open, MarkOp.HALF_OPEN, MarkOp.ESTABLISHED))
                with m.Case(LookupOp.TIME_WAIT):
                    m.d.comb += mark.op.eq(MarkOp.TIME_WAIT)
                with m.Case(LookupOp.COVERED):
                    m.d.comb += mark.op.eq(MarkOp.COVERED)
                with m.Case(LookupOp.FREE):
                    m.d.comb += mark.op.eq(MarkOp.FREE)
                with m.Default():
                    m.d.comb += [ask.op.eq(TableOp.ERASE), mark.op.eq(MarkOp.ENDING)]
        with m.Else():
            m.d.comb += [
                ask.op.eq(Mux(self._creates & self._room, TableOp.CREATE, TableOp.FIND)),
                mark.conn.eq(Mux(self._recycles, self.o_event.payload.conn, allocator.next)),
                mark.op.eq(Mux(self._recycles, MarkOp.ENDING, MarkOp.CREATE)),
            ]

    def _accept(self, m):
        """State ACCEPT: a command if there is one, else a SYN that waited or an event when the outputs are empty."""
        waiting, empty = self._waiting.o, ~self.i_cmd.valid & ~self.o_event.valid & ~self.o_drop.valid
        event, arriving = self.o_event.payload, Signal(Event)
        m.d.comb += [
            self.i_cmd.ready.eq(1), waiting.ready.eq(empty), self.i_event.ready.eq(empty & ~waiting.valid),
            arriving.eq(self.i_event.payload), arriving.again.eq(0),
        ]
        with m.If(waiting.valid):
            m.d.comb += [arriving.eq(0), arriving.kind.eq(EventKind.TCP), arriving.protocol.eq(IpProtocol.TCP)]
            m.d.comb += [arriving[name].eq(waiting.payload[name]) for name in (*SYN_FIELDS, "again")]
        with m.If(self.i_cmd.valid):
            m.d.sync += [
                self._serving.eq(1), self._command.eq(self.i_cmd.payload), self._key.eq(self.i_cmd.payload.key),
            ]
            m.next = "CHECK_COMMAND"
        with m.Elif(empty & (waiting.valid | self.i_event.valid)):
            m.d.comb += self._pulse.retried.eq(waiting.valid)
            m.d.sync += [
                self._serving.eq(0), self._recycles.eq(0), event.eq(arriving),
                event.conn.eq(0), event.leg.eq(0), event.new.eq(0), event.noflow.eq(0),
                self._creates.eq((arriving.kind == EventKind.TCP)
                                 & ((arriving.tcp_flags & _OPENING.value) == TcpFlag.SYN.value)),
                *(self._key[name].eq(arriving[name]) for name in FlowKey.as_shape().members),
            ]
            m.next = "ASK_QUICK"

    def _classify(self, m):
        """State CLASSIFY: events that need no table."""
        event, quick, pulse = self.o_event.payload, self._quick, self._pulse
        m.next = "ACCEPT"
        with m.If(~self.active):
            self._drop(m, pulse.standby_drop)
        with m.Elif((event.kind != EventKind.TCP) & (event.kind != EventKind.ICMP)):
            m.d.comb += pulse.noflow.eq(1)
            m.d.sync += [event.noflow.eq(1), self.o_event.valid.eq(1)]
        with m.Elif(quick.hit):
            m.d.comb += [pulse.hits.eq(1), pulse.quick_hits.eq(1)]
            m.d.sync += [event.conn.eq(quick.conn), event.leg.eq(quick.leg), self.o_event.valid.eq(1)]
        with m.Else():
            m.next = "HASH"

    def _end_command(self, m):
        """State ANSWER, of a command: INSERT, DELETE or PURGE."""
        command, answer, quick, pulse = self._command, self._table.o.payload, self._quick, self._pulse
        with m.If(command.op == LookupOp.INSERT):
            m.d.comb += [quick.remember.eq(answer.stored), pulse.insert_failed.eq(~answer.stored)]
            m.next = "MARK"
        with m.Elif(command.op == LookupOp.PURGE):
            m.d.comb += [quick.forget_all.eq(1), pulse.purged.eq(1)]
            m.next = "MARK"
        with m.Else():
            m.d.comb += [quick.forget.eq(1), pulse.delete_missing.eq(~answer.hit)]
            with m.If(~command.leg):        # the connection is over: its id is about to be free
                m.next = "MARK"

    def _end_event(self, m):
        """State ANSWER, of an event."""
        event, answer, quick, pulse = self.o_event.payload, self._table.o.payload, self._quick, self._pulse
        with m.If(answer.hit):
            m.d.comb += [pulse.hits.eq(1), quick.remember.eq(1)]
            m.d.sync += [event.conn.eq(answer.conn), event.leg.eq(answer.leg), self.o_event.valid.eq(1)]
        with m.Elif(answer.stored):
            m.d.comb += [pulse.created.eq(1), quick.remember.eq(1)]
            m.d.sync += event.sack_left.eq(self._hasher.o.payload[32:])
            m.d.sync += [event.conn.eq(answer.conn), event.leg.eq(0), event.new.eq(1)]
            m.next = "MARK"
        with m.Elif(self._creates):
            self._make_room(m)
        with m.Elif(event.kind == EventKind.ICMP):
            self._drop(m, pulse.icmp_noflow)
        with m.Else():
            m.d.comb += pulse.noflow.eq(1)
            m.d.sync += [event.noflow.eq(1), self.o_event.valid.eq(1)]

    def _make_room(self, m):
        """State ANSWER, of a SYN for which there is no connection: it waits, or is refused."""
        event, pulse, waiting, time_wait = self.o_event.payload, self._pulse, self._waiting, self._time_wait
        # SYNs that wait have been promised the ids that are about to be free
        promised = waiting.level < time_wait.ending
        parks = Signal()
        m.d.comb += parks.eq(~self._crowded & ~self._room & ((event.tcp_flags & TcpFlag.FIN.value) == 0)
                             & (promised | time_wait.oldest_valid) & waiting.i_syn.ready)
        with m.If(parks):
            m.d.comb += waiting.i_syn.valid.eq(1)
            self._drop(m, pulse.parked)
            with m.If(~promised):
                m.d.comb += pulse.recycled.eq(1)
                m.d.sync += [
                    event.eq(0), event.kind.eq(EventKind.TIMER), event.subtype.eq(TimerCause.RECYCLE.value),
                    event.conn.eq(time_wait.oldest), self._recycles.eq(1),
                ]
                m.next = "MARK"
        with m.Else():
            m.d.comb += [
                pulse.table_full.eq(~self._crowded & ~self._room), pulse.half_open_refused.eq(self._crowded),
                pulse.insert_failed.eq(self._room),
            ]
            with m.If(self._crowded | self.silent):
                self._drop(m, pulse.refused)
            with m.Else():
                m.d.comb += pulse.noflow.eq(1)
                m.d.sync += [event.noflow.eq(1), self.o_event.valid.eq(1)]

    def _drop(self, m, pulse):
        """Counts the event and gives its payload back."""
        event = self.o_event.payload
        m.d.comb += pulse.eq(1)
        m.d.sync += [self.o_drop.payload.eq(event.scratch_ref), self.o_drop.valid.eq(event.payload_len != 0)]
