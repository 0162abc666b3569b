"""Command side of the socket memory: copies, releases and what is passed on, strictly in order.

Source: patent §IV, §X.A (SMC 758).
"""
from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts.flowstate import SHARED
from ..layouts.message import MessageHeader, MessageKind, beat_layout, beat_signature
from ..layouts.record import RecordKind, SyncArgument
from ..layouts.scratchpad import ScratchRead
from ..layouts.socket import CopyArgument, ReleaseArgument, SocketAddress
from ..lib.skid_buffer import SkidBuffer
from .page_directory import PageOp, page_request
from .page_writer import WriteResult, write_request

__all__ = ["SocketCommands"]

PROBLEMS = tuple(name for name, _ in WriteResult.as_shape())
UNA = tuple(SHARED[f"snd_una_{leg}"].word for leg in (0, 1))
UNA_BEATS = max(UNA) // 2 + 1       # beats of a record that hold them


class SocketCommands(wiring.Component):
    """Executes COPY, RELEASE and CONSUMED and passes OUTPUT and SYNC on, one message after the other.

    Line 0 of a record says what the destinations have acknowledged: SND.UNA of a leg is the number below which the ring sent on that
    leg is free. A retire record frees both rings.

    Parameters: params, geometry.
    Members: i_cmd, o_cmd, o_scratch, o_free as in SocketMemoryController; o_page: releases to PageDirectory; o_write, written,
    result: PageWriter; active: 0: copies are refused.
    Latency: OUTPUT, SYNC 3 clocks; COPY 5 clocks until the request to the scratchpad, 2 after the writer is done.
    Throughput: COPY one word per clock; messages passed on take one clock more than they have beats; records 2 more, and what
    their releases take.
    Backpressure: a blocked `o_cmd`, `o_scratch` or `o_free` stops `i_cmd`.
    Drop: `bad_kind` (swallowed); `malformed` COPY without exactly two beats, RELEASE with beats, CONSUMED without line 0; `bad_conn`,
    `bad_length` above socket_bytes, `inactive`: memory untouched, the chain (when its reference is known) is released;
    `scratch_error`, `no_page`, `bad_page`, `write_error` (WriteResult): the ring is given up, so that reads of it are answered with `err`.
    Every message counts once; `refused` are RELEASEs of payload that the program had no room for. Reset: idle.
    """

    COUNTERS = ("copies", "releases", "refused", "outputs", "syncs", "consumed", "bad_kind", "malformed", "bad_conn", "bad_length", "inactive",
                *PROBLEMS)

    def __init__(self, params, geometry):
        self._params, self.geometry = params, geometry
        super().__init__({
            "i_cmd": In(beat_signature()),
            "o_cmd": Out(beat_signature()),
            "o_scratch": Out(stream.Signature(ScratchRead)),
            "o_free": Out(stream.Signature(16)),
            "o_write": Out(stream.Signature(write_request(geometry))), "written": In(1), "result": In(WriteResult),
            "o_page": Out(stream.Signature(page_request(geometry))),
            "active": In(1),
            "count": Out(len(self.COUNTERS)),
        })

    def _count(self, name):
        return self.count[self.COUNTERS.index(name)].eq(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.skid = self._skid = SkidBuffer(beat_layout())
        wiring.connect(m, wiring.flipped(self.o_cmd), self._skid.o)
        self._first = Signal(beat_layout())     # the header beat
        self._header = Signal(MessageHeader)
        self._copy = Signal(CopyArgument)
        self._address = Signal(SocketAddress)
        self._owed = Signal()       # a chain is to be released when the rest of the message is swallowed
        m.d.comb += self._header.eq(self._first.data)
        with m.FSM():
            self._decode(m)
            self._pass(m)
            self._payload(m)
        return m

    def _decode(self, m):
        count, header, first = self._count, self._header, self._first
        release = ReleaseArgument(header.argument)
        with m.State("HEAD"):
            m.d.comb += self.i_cmd.ready.eq(1)
            m.d.sync += [first.eq(self.i_cmd.payload), self._owed.eq(0)]
            with m.If(self.i_cmd.valid):
                m.next = "DECODE"
        with m.State("DECODE"):
            with m.Switch(header.kind):
                with m.Case(MessageKind.OUTPUT, MessageKind.SYNC, MessageKind.CONSUMED):
                    m.next = "FIRST"
                with m.Case(MessageKind.COPY):
                    m.next = "ARGUMENT"
                    with m.If(first.last):
                        m.d.comb += count("malformed")
                        m.next = "HEAD"
                with m.Case(MessageKind.RELEASE):
                    m.d.sync += [self._copy.ref.eq(release.ref), self._owed.eq(1)]
                    with m.If(~first.last):
                        m.d.comb += count("malformed")
                        m.next = "SWALLOW"
                    with m.Else():
                        m.d.comb += self.count.eq(Mux(release.refused, 1 << self.COUNTERS.index("refused"),
                                                      1 << self.COUNTERS.index("releases")))
                        m.next = "FREE"
                with m.Default():
                    m.d.comb += count("bad_kind")
                    m.next = "HEAD"
                    with m.If(~first.last):
                        m.next = "SWALLOW"

    def _pass(self, m):
        """OUTPUT and records; what records release."""
        count, header, first, skid = self._count, self._header, self._first, self._skid
        beat, sync = self.i_cmd.payload, SyncArgument(header.argument)
        stays = Signal()                            # CONSUMED
        index = Signal(range(UNA_BEATS + 1))        # beats after the header
        snd_una = Array(Signal(32, name=f"una_{leg}") for leg in (0, 1))
        direction, retire = Signal(), Signal()
        m.d.comb += [
            stays.eq(header.kind == MessageKind.CONSUMED), retire.eq(sync.kind == RecordKind.RETIRE),
            self.o_page.p.op.eq(Mux(retire, PageOp.DROP, PageOp.RELEASE)),
            self.o_page.p.ring.eq(Cat(direction, sync.conn)),
            self.o_page.p.offset.eq(snd_una[~direction]),   # what leg 0 received is sent on leg 1
        ]
        with m.State("FIRST"):
            m.d.comb += [skid.i.valid.eq(~stays), skid.i.payload.eq(first)]
            m.d.sync += [index.eq(0), direction.eq(0)]
            with m.If(stays | skid.i.ready):
                m.next = "BODY"
                with m.If(first.last):
                    m.next = "PASSED"
        with m.State("BODY"):
            m.d.comb += [
                skid.i.valid.eq(self.i_cmd.valid & ~stays),
                skid.i.payload.eq(beat),
                self.i_cmd.ready.eq(skid.i.ready | stays),
            ]
            with m.If(self.i_cmd.valid & self.i_cmd.ready):
                for leg, word in enumerate(UNA):
                    with m.If(index == word // 2):
                        m.d.sync += snd_una[leg].eq(beat.data.word_select(word % 2, 32))
                with m.If(index != UNA_BEATS):
                    m.d.sync += index.eq(index + 1)
                with m.If(beat.last):
                    m.next = "PASSED"
        with m.State("PASSED"):
            m.next = "RELEASE"
            with m.If((header.kind == MessageKind.OUTPUT) | (sync.conn >= self._params.connections) | (~retire & (index != UNA_BEATS))):
                m.next = "HEAD"
            with m.Switch(header.kind):
                with m.Case(MessageKind.OUTPUT):
                    m.d.comb += count("outputs")
                with m.Case(MessageKind.SYNC):
                    m.d.comb += count("syncs")
                with m.Default():
                    with m.If(sync.conn >= self._params.connections):
                        m.d.comb += count("bad_conn")
                    with m.Elif(~retire & (index != UNA_BEATS)):
                        m.d.comb += count("malformed")
                    with m.Else():
                        m.d.comb += count("consumed")
        with m.State("RELEASE"):
            m.d.comb += self.o_page.valid.eq(1)
            with m.If(self.o_page.ready):
                m.d.sync += direction.eq(1)
                with m.If(direction):
                    m.next = "HEAD"
        with m.State("GIVE_UP"):        # the ring of a copy that went wrong
            m.d.comb += [
                self.o_page.valid.eq(1), self.o_page.p.op.eq(PageOp.DROP),
                self.o_page.p.ring.eq(Cat(self._address.ring.direction, self._address.ring.conn)),
            ]
            with m.If(self.o_page.ready):
                m.next = "GONE"
        with m.State("GONE"):           # nothing behind the copy may find its pages
            with m.If(self.o_page.ready):
                m.next = "FREE"

    def _payload(self, m):
        """COPY, RELEASE and the rest of messages that are no good."""
        count, copy, address, params = self._count, self._copy, self._address, self._params
        beat = self.i_cmd.payload
        m.d.comb += [
            self.o_free.payload.eq(copy.ref), self.o_scratch.p.ref.eq(copy.ref), self.o_scratch.p.skip.eq(copy.skip),
            self.o_scratch.p.length.eq(copy.length),
            self.o_write.p.ring.eq(Cat(address.ring.direction, address.ring.conn)), self.o_write.p.pool.eq(address.ring.pool),
            self.o_write.p.offset.eq(address.offset), self.o_write.p.length.eq(copy.length),
        ]
        with m.State("ARGUMENT"):
            m.d.comb += self.i_cmd.ready.eq(1)
            m.d.sync += [copy.eq(beat.data), self._owed.eq(1)]
            with m.If(self.i_cmd.valid):
                m.next = "ADDRESS"
                with m.If(beat.last):
                    m.d.comb += count("malformed")
                    m.next = "FREE"
        with m.State("ADDRESS"):
            m.d.comb += self.i_cmd.ready.eq(1)
            m.d.sync += address.eq(beat.data)
            with m.If(self.i_cmd.valid):
                m.next = "CHECK"
                with m.If(~beat.last):
                    m.d.comb += count("malformed")
                    m.next = "SWALLOW"
        with m.State("CHECK"):
            m.next = "FREE"
            with m.If(address.ring.conn >= params.connections):
                m.d.comb += count("bad_conn")
            with m.Elif(copy.length > params.socket_bytes):
                m.d.comb += count("bad_length")
            with m.Elif(copy.length == 0):
                m.d.comb += count("copies")
            with m.Elif(~self.active):
                m.d.comb += count("inactive")
            with m.Else():
                m.next = "REQUEST"
        with m.State("REQUEST"):
            m.d.comb += self.o_scratch.valid.eq(1)
            with m.If(self.o_scratch.ready):
                m.next = "MOVE"
        with m.State("MOVE"):
            m.d.comb += self.o_write.valid.eq(1)
            with m.If(self.o_write.ready):
                m.next = "WRITTEN"
        with m.State("WRITTEN"):
            with m.If(self.written):
                m.next = "FREE"
                with m.If(self.result.as_value() == 0):
                    m.d.comb += count("copies")
                for name in reversed(PROBLEMS):      # the first that is set counts
                    with m.If(self.result[name]):
                        m.d.comb += self.count.eq(1 << self.COUNTERS.index(name))
                        m.next = "GIVE_UP"
        with m.State("FREE"):
            m.d.comb += self.o_free.valid.eq(1)
            with m.If(self.o_free.ready):
                m.next = "HEAD"
        with m.State("SWALLOW"):
            m.d.comb += self.i_cmd.ready.eq(1)
            with m.If(self.i_cmd.valid & beat.last):
                m.next = "HEAD"
                with m.If(self._owed):
                    m.next = "FREE"
