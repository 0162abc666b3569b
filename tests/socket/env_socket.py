"""Drivers, monitors and model around the socket memory controller."""
import random
from collections import defaultdict, deque

from cocotb.triggers import ClockCycles, RisingEdge

from spps.layouts.message import MessageHeader, MessageKind, Unit, beat_layout
from spps.layouts.packet import packet_layout
from spps.layouts.scratchpad import ScratchRead
from spps.layouts.socket import CopyArgument, SocketAddress, SocketRead
from spps.socket import SocketMemoryController
from spps_sim.model.socket import SND_UNA, PagedMemory, SocketModel
from spps_sim.testbench.bus.counters import CounterMonitor
from spps_sim.testbench.bus.packet import PacketCollector, packet_words
from spps_sim.testbench.bus.stream import (
    StreamSink,
    StreamSource,
    pack,
    reset,
    start_clock,
)
from spps_sim.testbench.runner import default_seed
from tests.socket.ring import SPAN
from tests.socket.sizes import AXI, CONNECTIONS, RING, WIDTH, params

PARAMS = params()
PAGES, COUNTS = PARAMS.page_bytes, PARAMS.pool_pages


def header(kind, length, argument=0):
    return pack(MessageHeader, {"kind": kind, "unit": Unit.SOCKET.value, "length": length & 0xFF,
                                "argument": argument})


class Env:
    """Feeds messages; answers scratchpad requests; reads back what a passed OUTPUT may read."""

    def __init__(self, dut, seed, idle, pause):
        self.dut, self.rng, self.idle = dut, random.Random(seed), idle

        def rng():
            return random.Random(self.rng.random())

        self.cmd = StreamSource(dut, "i_cmd", dut.clk, layout=beat_layout(), idle=idle, rng=rng())
        self.scratch = StreamSource(dut, "i_scratch", dut.clk, idle=idle, rng=rng())
        self.read = StreamSource(dut, "i_read", dut.clk, layout=SocketRead, idle=idle, rng=rng())
        self.asked = StreamSink(dut, "o_scratch", dut.clk, layout=ScratchRead, pause=pause, rng=rng(),
                                callback=self.answer)
        self.out = StreamSink(dut, "o_cmd", dut.clk, layout=beat_layout(), pause=pause, rng=rng(),
                              callback=self.passed_beat)
        self.free = StreamSink(dut, "o_free", dut.clk, pause=pause, rng=rng())
        self.collector = PacketCollector(WIDTH, self.answered)
        self.data = StreamSink(dut, "o_data", dut.clk, layout=packet_layout(WIDTH), pause=pause, rng=rng(),
                               callback=self.collector)
        self.counters = CounterMonitor(dut, dut.clk, SocketMemoryController.COUNTERS)
        self.model = SocketModel(CONNECTIONS, RING, PagedMemory(PAGES, COUNTS, 2 * RING),
                                 lambda ref, skip, length: self.answers[ref])
        self.answers = {}           # ref -> (bytes, err), fixed when the COPY is made
        self.requests = {}          # ref -> (skip, length) the request must have
        self.message, self.passed = [], []
        self.reads_of = {}          # tag of an OUTPUT -> [(place, offset, length, expected)]
        self.expected = deque()     # answers to reads in order
        self.written = defaultdict(dict)    # ring -> offset -> byte, of copies
        self.early = 0              # reads that found pages which the model had freed
        self.refused = 0            # reads that came too late for their page
        self.ref, self.keeping = 0, False
        dut.active.value, dut.low_watermark.value = 1, 4

    def answer(self, request):
        assert self.requests.pop(request["ref"]) == (request["skip"], request["length"])
        data, err = self.answers[request["ref"]]
        for word in packet_words(data, WIDTH, err=err, fill=self.rng.randrange(256)):
            self.scratch.send(word)

    def passed_beat(self, beat):
        self.message.append(beat["data"])
        if beat["last"]:
            self.passed.append(self.message)
            if self.message[0] & 0xFF == MessageKind.OUTPUT.value:
                for read in self.reads_of.pop(self.message[0] >> 32, ()):
                    self.ask(*read)
            self.message = []

    def ask(self, place, offset, length, expected):
        """A read; place: connection, direction, pool; expected: the bytes when its OUTPUT was made."""
        conn, direction, pool = place
        ring = {"conn": conn, "direction": direction, "pool": pool}
        self.read.send({"address": {"offset": offset % SPAN, "ring": ring}, "length": length})
        self.expected.append((place, offset, length, expected))

    def answered(self, port, data, err):
        """Right bytes, or err where the model has none any more; never wrong bytes."""
        place, offset, length, expected = self.expected.popleft()
        assert port == 0
        late = expected is not None and self.model.memory.read(place[:2], place[2], offset % SPAN, length) != expected
        if err:
            assert expected is None or late, f"read of {place} at {offset:#x}: err"
            self.refused += expected is not None
        else:
            if expected is None:        # the pages are still being freed: what was written there
                ring = self.written[place[:2]]
                self.early += 1
                expected = bytes(ring.get((offset + i) % SPAN, 0) for i in range(length))
            assert data == expected, f"read of {place} at {offset:#x}: {data.hex()} instead of {expected.hex()}"
            assert not any(self.collector.unused)

    def send(self, message):
        self.model.execute(message)
        for i, beat in enumerate(message):
            self.cmd.send({"data": beat, "last": int(i == len(message) - 1)})

    def copy(self, conn, direction, pool, offset, length, *, answer=None, err=False):
        """A COPY message with its scratchpad answer (default: as many random bytes as asked for).

        While `keeping` every third one keeps its chain (CopyHeader.keep).
        """
        self.ref = self.ref + 1 & 0xFFFF
        skip = self.rng.randrange(100)
        self.answers[self.ref] = self.rng.randbytes(length) if answer is None else answer, err
        if conn < CONNECTIONS and 0 < length <= RING and self.model.active:
            self.requests[self.ref] = skip, length
        for i, byte in enumerate(self.answers[self.ref][0][:length]):
            self.written[conn, direction][(offset + i) % SPAN] = byte
        ring = {"conn": conn, "direction": direction, "pool": pool}
        self.send([header(MessageKind.COPY.value, 2, self.ref << 1 | (self.keeping and self.ref % 3 == 0)),
                   pack(CopyArgument, {"ref": self.ref, "skip": skip, "length": length}),
                   pack(SocketAddress, {"offset": offset % SPAN, "ring": ring})])

    def record(self, kind, conn, snd_una, *, sort=0, beats=4):
        """SYNC or CONSUMED of a sort (0 delta, 1 full, 2 retire); snd_una: of both legs."""
        words = [self.rng.getrandbits(32) for _ in range(64)]
        words[SND_UNA[0]], words[SND_UNA[1]] = snd_una[0] % SPAN, snd_una[1] % SPAN
        body = [words[2 * i] | words[2 * i + 1] << 32 for i in range(beats)]
        self.send([header(kind.value, beats, conn | sort << 16)] + body)

    async def drain(self, limit=60000, settle=600):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if (self.cmd.empty() and self.scratch.empty() and self.read.empty()
                    and not self.expected and not self.requests
                    and len(self.passed) == len(self.model.passed)
                    and len(self.free.received) == len(self.model.freed)):
                break
        await ClockCycles(self.dut.clk, settle)
        assert not self.expected and not self.reads_of and not self.requests and not self.message
        assert self.passed == self.model.passed
        assert list(self.free.received) == self.model.freed
        assert self.levels() == self.model.memory.free
        want = {name: self.model.count[name] for name in SocketMemoryController.COUNTERS}
        want["reads"] += self.early - self.refused
        want["stale_reads"] += self.refused - self.early
        assert dict(self.counters.total) == want
        self.dut._log.info("seed %d: %d late reads, %s", default_seed(), self.refused, dict(self.counters.total))

    def levels(self):
        bits = len(self.dut.free) // 4
        return [int(self.dut.free.value) >> bits * pool & (1 << bits) - 1 for pool in range(4)]


async def start(dut, seed, idle=0.0, pause=0.0):
    start_clock(dut)
    tb = Env(dut, seed, idle, pause)
    memory = attach_memory(dut, seed)
    await reset(dut)
    tb.axi = memory
    return tb


def attach_memory(dut, seed):
    """External memory on the AXI4 port, if there is one."""
    if not AXI:
        return None
    from tests.socket.external_memory import attach
    return attach(dut, seed)
