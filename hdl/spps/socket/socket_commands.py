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
from ..layouts.socket import CopyArgument, CopyHeader, ReleaseArgument, SocketAddress
from ..lib.counters import Counters
from ..lib.skid_buffer import SkidBuffer
from .page_directory import PageOp, page_request
from .page_writer import WriteResult, write_request

__all__ = ["SocketCommands"]

SND_UNA_WORDS = tuple(SHARED[f"snd_una_{leg}"].word for leg in (0, 1))
SND_UNA_BEATS = max(SND_UNA_WORDS) // 2 + 1     # beats of a record that hold them


class SocketCommands(wiring.Component):
    """Executes COPY, RELEASE and CONSUMED and passes OUTPUT and SYNC on, one message after the other.

    Line 0 of a record says what the destinations have acknowledged: SND.UNA of a leg is the number below which the ring
    sent on that leg is free. A retire record frees both rings. The message router lets only these five kinds pass; the
    kind is not checked again (proof: tests/formal/test_message_kinds.py).

    Parameters
    ----------
    params : SppsParams
        connections, socket_bytes.
    geometry : Geometry
        Where pages are.

    Members
    -------
    i_cmd : In(stream of beat)
        Messages COPY, RELEASE, CONSUMED, OUTPUT and SYNC.
    o_cmd : Out(stream of beat)
        OUTPUT and SYNC, unchanged.
    o_scratch : Out(stream of ScratchRead)
        Payload wanted from the scratchpad for the write request that follows.
    o_free : Out(stream of 16)
        First page of a scratchpad chain that is given back.
    o_write : Out(stream of write_request)
        A copy, to PageWriter.
    written : In(1)
        The copy has ended; `result` holds.
    result : In(WriteResult)
        How it ended.
    o_page : Out(stream of page_request)
        RELEASE and DROP, to PageDirectory.
    active : In(1)
        0: copies are refused.
    count : Out(COUNTERS.layout)
        Each message counts once.

    Timing
    ------
    Latency: OUTPUT and SYNC 3 clocks; COPY 5 until the request to the scratchpad, and 2 after the writer is done.
    Throughput: COPY 1 word per clock; an OUTPUT takes 3 clocks more than it has beats, a record 7 more when nothing
    becomes free. A blocked `o_cmd`, `o_scratch` or `o_free` stops `i_cmd`.

    Drop
    ----
    `malformed`, `bad_conn`, `bad_length`, `inactive`: memory is untouched and the chain is released if its reference
    has come, unless the COPY says `keep`. `scratch_error`, `no_page`, `bad_page`, `write_error` (WriteResult): the ring
    is dropped too, so that later reads of it are answered with `err`. CONSUMED ends here.

    Reset
    -----
    Idle.

    Source
    ------
    Patent §IV, §X.A (SMC 758).
    """

    COUNTERS = Counters({
        "copies": "COPY messages that ended well, also those of length 0",
        "releases": "RELEASE messages of payload that the program has dealt with",
        "refused": "RELEASE messages of payload that the program refused because free pages ran short",
        "outputs": "OUTPUT messages passed on",
        "syncs": "SYNC messages passed on",
        "consumed": "CONSUMED messages that hold line 0 or retire a connection",
        "malformed": "COPY not of two beats, RELEASE with beats, CONSUMED without line 0",
        "bad_conn": "COPY and CONSUMED messages of a connection that does not exist",
        "bad_length": "COPY messages of more than socket_bytes bytes",
        "inactive": "COPY messages refused while the unit was not active",
        "scratch_error": "COPY messages whose scratchpad answer had err or another length",
        "no_page": "COPY messages that found no free page in their pool",
        "bad_page": "COPY messages of a released page, beyond the table's reach, or to another pool than the ring's",
        "write_error": "COPY messages with an error response of external memory",
    })

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
            "count": Out(self.COUNTERS.layout),
        })

    def elaborate(self, platform):
        m = Module()
        m.submodules.skid = self._skid = SkidBuffer(beat_layout())
        wiring.connect(m, wiring.flipped(self.o_cmd), self._skid.o)
        self._first = Signal(beat_layout())     # the header beat
        self._header = Signal(MessageHeader)
        self._copy = Signal(CopyArgument)
        self._address = Signal(SocketAddress)
        m.d.comb += self._header.eq(self._first.data)
        with m.FSM():
            self._decode(m)
            self._pass(m)
            self._payload(m)
        return m

    def _decode(self, m):
        count, header, first = self.count, self._header, self._first
        release = ReleaseArgument(header.argument)
        with m.State("HEAD"):
            m.d.comb += self.i_cmd.ready.eq(1)
            m.d.sync += first.eq(self.i_cmd.payload)
            with m.If(self.i_cmd.valid):
                m.next = "DECODE"
        with m.State("DECODE"):
            with m.Switch(header.kind):
                with m.Case(MessageKind.COPY):
                    m.next = "ARGUMENT"
                    with m.If(first.last):
                        m.d.comb += count.malformed.eq(1)
                        m.next = "HEAD"
                with m.Case(MessageKind.RELEASE):
                    m.d.sync += self._copy.ref.eq(release.ref)
                    with m.If(~first.last):
                        m.d.comb += count.malformed.eq(1)
                        m.next = "SWALLOW"
                    with m.Else():
                        m.d.comb += [count.refused.eq(release.refused), count.releases.eq(~release.refused)]
                        m.next = "FREE"
                with m.Default():       # OUTPUT, SYNC, CONSUMED
                    m.next = "FIRST"

    def _pass(self, m):
        """OUTPUT and records; what records release."""
        count, header, first, skid = self.count, self._header, self._first, self._skid
        beat, sync = self.i_cmd.payload, SyncArgument(header.argument)
        stays = Signal()                            # CONSUMED
        index = Signal(range(SND_UNA_BEATS + 1))    # beats after the header
        snd_una = Array(Signal(32, name=f"snd_una_{leg}") for leg in (0, 1))
        direction, retire = Signal(), Signal()
        unknown, short = Signal(), Signal()         # connection out of range, no line 0
        m.d.comb += [
            stays.eq(header.kind == MessageKind.CONSUMED), retire.eq(sync.kind == RecordKind.RETIRE),
            unknown.eq(sync.conn >= self._params.connections), short.eq(~retire & (index != SND_UNA_BEATS)),
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
                for leg, word in enumerate(SND_UNA_WORDS):
                    with m.If(index == word // 2):
                        m.d.sync += snd_una[leg].eq(beat.data.word_select(word % 2, 32))
                with m.If(index != SND_UNA_BEATS):
                    m.d.sync += index.eq(index + 1)
                with m.If(beat.last):
                    m.next = "PASSED"
        with m.State("PASSED"):
            m.next = "RELEASE"
            with m.If((header.kind == MessageKind.OUTPUT) | unknown | short):
                m.next = "HEAD"
            with m.Switch(header.kind):
                with m.Case(MessageKind.OUTPUT):
                    m.d.comb += count.outputs.eq(1)
                with m.Case(MessageKind.SYNC):
                    m.d.comb += count.syncs.eq(1)
                with m.Default():
                    with m.If(unknown):
                        m.d.comb += count.bad_conn.eq(1)
                    with m.Elif(short):
                        m.d.comb += count.malformed.eq(1)
                    with m.Else():
                        m.d.comb += count.consumed.eq(1)
        with m.State("RELEASE"):
            m.d.comb += self.o_page.valid.eq(1)
            with m.If(self.o_page.ready):
                m.d.sync += direction.eq(1)
                with m.If(direction):
                    m.next = "HEAD"
        with m.State("GIVE_UP"):        # drop the ring of a copy that failed
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
        """COPY; the chain that is given back; beats that are swallowed."""
        count, copy, address, params = self.count, self._copy, self._address, self._params
        beat = self.i_cmd.payload
        m.d.comb += [
            self.o_free.payload.eq(copy.ref), self.o_scratch.p.ref.eq(copy.ref), self.o_scratch.p.skip.eq(copy.skip),
            self.o_scratch.p.length.eq(copy.length),
            self.o_write.p.ring.eq(Cat(address.ring.direction, address.ring.conn)),
            self.o_write.p.pool.eq(address.ring.pool),
            self.o_write.p.offset.eq(address.offset), self.o_write.p.length.eq(copy.length),
        ]
        with m.State("ARGUMENT"):
            m.d.comb += self.i_cmd.ready.eq(1)
            m.d.sync += copy.eq(beat.data)
            with m.If(self.i_cmd.valid):
                m.next = "ADDRESS"
                with m.If(beat.last):
                    m.d.comb += count.malformed.eq(1)
                    m.next = "FREE"
        with m.State("ADDRESS"):
            m.d.comb += self.i_cmd.ready.eq(1)
            m.d.sync += address.eq(beat.data)
            with m.If(self.i_cmd.valid):
                m.next = "CHECK"
                with m.If(~beat.last):
                    m.d.comb += count.malformed.eq(1)
                    m.next = "SWALLOW"
        with m.State("CHECK"):
            m.next = "FREE"
            with m.If(address.ring.conn >= params.connections):
                m.d.comb += count.bad_conn.eq(1)
            with m.Elif(copy.length > params.socket_bytes):
                m.d.comb += count.bad_length.eq(1)
            with m.Elif(copy.length == 0):
                m.d.comb += count.copies.eq(1)
            with m.Elif(~self.active):
                m.d.comb += count.inactive.eq(1)
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
                m.next = "GIVE_UP"
                with m.If(self.result.scratch_error):
                    m.d.comb += count.scratch_error.eq(1)
                with m.Elif(self.result.no_page):
                    m.d.comb += count.no_page.eq(1)
                with m.Elif(self.result.bad_page):
                    m.d.comb += count.bad_page.eq(1)
                with m.Elif(self.result.write_error):
                    m.d.comb += count.write_error.eq(1)
                with m.Else():
                    m.d.comb += count.copies.eq(1)
                    m.next = "FREE"
        keep = Signal()
        m.d.comb += keep.eq((self._header.kind == MessageKind.COPY) & CopyHeader(self._header.argument).keep)
        with m.State("FREE"):
            m.d.comb += self.o_free.valid.eq(~keep)
            with m.If(self.o_free.ready | keep):
                m.next = "HEAD"
        with m.State("SWALLOW"):
            m.d.comb += self.i_cmd.ready.eq(1)
            with m.If(self.i_cmd.valid & beat.last):
                m.next = "FREE"
