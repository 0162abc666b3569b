"""Random commands and reads against the model; see test_socket.py."""
import os
import random
from collections import deque

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps.layouts.message import (CopyArgument, MessageHeader, MessageKind, ReleaseArgument, ScratchRead, SocketAddress, SocketRead, Unit,
                                  beat_layout)
from spps.layouts.packet import packet_layout
from spps.socket import SocketMemoryController
from spps_sim.bus.counters import CounterMonitor
from spps_sim.bus.packet import PacketCollector, packet_words
from spps_sim.bus.stream import StreamSink, StreamSource, pack, reset, start_clock
from spps_sim.harness import default_seed
from spps_sim.model.socket import PagedMemory, SocketModel
from sizes import AXI, CONNECTIONS, RING, WIDTH, params

PARAMS = params()
PAGES, COUNTS = PARAMS.page_bytes, PARAMS.pool_pages
SPAN = 1 << 32


def header(kind, length, argument=0):
    return pack(MessageHeader, {"kind": kind, "unit": Unit.SOCKET.value, "length": length & 0xFF, "argument": argument})


class TB:
    """Feeds messages; answers scratchpad requests; reads back what a passed OUTPUT may read."""

    def __init__(self, dut, seed, idle, pause):
        self.dut, self.rng, self.idle = dut, random.Random(seed), idle

        def rng():
            return random.Random(self.rng.random())

        self.cmd = StreamSource(dut, "i_cmd", dut.clk, layout=beat_layout(), idle=idle, rng=rng())
        self.scratch = StreamSource(dut, "i_scratch", dut.clk, idle=idle, rng=rng())
        self.read = StreamSource(dut, "i_read", dut.clk, layout=SocketRead, idle=idle, rng=rng())
        self.asked = StreamSink(dut, "o_scratch", dut.clk, layout=ScratchRead, pause=pause, rng=rng(), callback=self.answer)
        self.out = StreamSink(dut, "o_cmd", dut.clk, layout=beat_layout(), pause=pause, rng=rng(), callback=self.passed_beat)
        self.free = StreamSink(dut, "o_free", dut.clk, pause=pause, rng=rng())
        self.collector = PacketCollector(WIDTH, self.answered)
        self.data = StreamSink(dut, "o_data", dut.clk, layout=packet_layout(WIDTH), pause=pause, rng=rng(),
                               callback=self.collector)
        self.counters = CounterMonitor(dut, dut.clk, SocketMemoryController.COUNTERS)
        self.model = SocketModel(CONNECTIONS, RING, PagedMemory(PAGES, COUNTS, 2 * RING), lambda ref, skip, length: self.answers[ref])
        self.answers = {}           # ref -> (bytes, err), fixed when the COPY is made
        self.requests = {}          # ref -> (skip, length) the request must have
        self.message, self.passed = [], []
        self.reads_of = {}          # tag of an OUTPUT -> [(place, offset, length, expected)]
        self.expected = deque()     # answers to reads in order
        self.refused = 0            # reads that came too late for their page
        self.ref = 0
        dut.role.value, dut.low.value = 1, 4

    def answer(self, request):
        assert self.requests.pop(request["ref"]) == (request["skip"], request["length"])
        data, err = self.answers[request["ref"]]
        for word in packet_words(data, WIDTH, err=err, fill=self.rng.randrange(256)):
            self.scratch.send(word)

    def passed_beat(self, beat):
        self.message.append(beat["data"])
        if beat["last"]:
            self.passed.append(self.message)
            for read in self.reads_of.pop(self.message[0] >> 32, ()):
                self.ask(*read)
            self.message = []

    def ask(self, place, offset, length, expected):
        """A read; place: connection, direction, pool; expected: the bytes when its OUTPUT was made."""
        conn, direction, pool = place
        self.read.send({"address": {"offset": offset % SPAN, "ring": {"conn": conn, "direction": direction, "pool": pool}},
                        "length": length})
        self.expected.append((place, offset, length, expected))

    def answered(self, port, data, err):
        """Right bytes, or err where the model has none any more; never wrong bytes."""
        place, offset, length, expected = self.expected.popleft()
        assert port == 0
        late = expected is not None and self.model.memory.read(place[:2], place[2], offset % SPAN, length) != expected
        if err:
            assert expected is None or late, (f"read of {place} at {offset:#x}: err", length, data, self.model.memory.of(place[:2]), self.model.memory.released.get(place[:2]), dict(self.counters.total), dict(self.model.count))
            self.refused += expected is not None
        else:
            assert data == expected, f"read of {place} at {offset:#x}: {data.hex()} instead of {expected and expected.hex()}"
            assert not any(self.collector.unused)

    def send(self, message):
        self.model.execute(message)
        for i, beat in enumerate(message):
            self.cmd.send({"data": beat, "last": int(i == len(message) - 1)})

    def copy(self, conn, direction, pool, offset, length, *, answer=None, err=False):
        """A COPY message with its scratchpad answer (default: as many random bytes as asked for)."""
        self.ref = self.ref + 1 & 0xFFFF
        skip = self.rng.randrange(100)
        self.answers[self.ref] = self.rng.randbytes(length) if answer is None else answer, err
        if conn < CONNECTIONS and 0 < length <= RING and self.model.active:
            self.requests[self.ref] = skip, length
        ring = {"conn": conn, "direction": direction, "pool": pool}
        self.send([header(MessageKind.COPY.value, 2),
                   pack(CopyArgument, {"ref": self.ref, "skip": skip, "length": length}),
                   pack(SocketAddress, {"offset": offset % SPAN, "ring": ring})])

    def record(self, kind, conn, una, *, sort=0, beats=4):
        """SYNC or CONSUMED of a sort (0 delta, 1 full, 2 retire); una: of both legs."""
        words = [self.rng.getrandbits(32), una[0] % SPAN, una[1] % SPAN] + [self.rng.getrandbits(32) for _ in range(61)]
        body = [words[2 * i] | words[2 * i + 1] << 32 for i in range(beats)]
        self.send([header(kind.value, beats, conn | sort << 16)] + body)

    async def drain(self, limit=60000):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if (self.cmd.empty() and self.scratch.empty() and self.read.empty() and not self.expected and not self.requests
                    and len(self.passed) == len(self.model.passed) and len(self.free.received) == len(self.model.freed)):
                break
        await ClockCycles(self.dut.clk, 600)
        assert not self.expected and not self.reads_of and not self.requests and not self.message
        assert self.passed == self.model.passed
        assert list(self.free.received) == self.model.freed
        assert self.levels() == self.model.memory.free
        want = {name: self.model.count[name] for name in SocketMemoryController.COUNTERS}
        want["reads"] -= self.refused
        want["stale_reads"] += self.refused
        assert dict(self.counters.total) == want
        self.dut._log.info("seed %d: %d late reads, %s", default_seed(), self.refused, dict(self.counters.total))

    def levels(self):
        bits = len(self.dut.free) // 4
        return [int(self.dut.free.value) >> bits * pool & (1 << bits) - 1 for pool in range(4)]


async def start(dut, seed, idle=0.0, pause=0.0):
    start_clock(dut)
    tb = TB(dut, seed, idle, pause)
    memory = attach_memory(dut, seed)
    await reset(dut)
    tb.axi = memory
    return tb


def attach_memory(dut, seed):
    """External memory on the AXI4 port, if there is one."""
    if not AXI:
        return None
    from external_memory import attach
    return attach(dut, seed)


class Ring:
    """What a test knows of one ring: live bytes are released..head."""

    def __init__(self, rng, conn, direction):
        self.place = conn, direction, rng.choice([pool for pool in range(4) if COUNTS[pool]])
        self.head = self.released = rng.choice((SPAN - 700, SPAN // 2 - 500, rng.randrange(SPAN)))


async def random_traffic(dut, idle, pause, messages=300):
    tb = await start(dut, default_seed() * 1000 + int(idle * 10) * 10 + int(pause * 10), idle, pause)
    rng = tb.rng
    rings = {(c, d): Ring(rng, c, d) for c in range(CONNECTIONS) for d in (0, 1)}
    for tag in range(messages):
        choice = rng.random()
        ring = rng.choice([rings[0, 0], rings[0, 1], rings[1, 0], rng.choice(list(rings.values()))])
        conn, direction, pool = ring.place
        if choice < 0.4:
            length = min(rng.choice((rng.randrange(1, 40), rng.randrange(1, 700), rng.randrange(1, 9), 64, 1460)), RING)
            if ring.head + length - ring.released > RING and rng.random() < 0.95:
                continue                                # the window is full
            broken = rng.random()
            kwargs = {}
            if broken < 0.02:
                kwargs = {"err": True}
            elif broken < 0.04:
                kwargs = {"answer": rng.randbytes(rng.randrange(1, length + 1))}
            elif broken < 0.06:
                kwargs = {"answer": rng.randbytes(length + rng.randrange(1, 40))}
            problems = sum(tb.model.count.values()) - tb.model.count["copies"]
            tb.copy(conn, direction, pool if rng.random() < 0.97 else (pool + 1) % 4, ring.head, length, **kwargs)
            ring.head += length
            if sum(tb.model.count.values()) - tb.model.count["copies"] != problems:
                ring.released = ring.head
        elif choice < 0.7:
            length = rng.choice((0, 1, 8, 30, 64))
            reads = []
            for _ in range(rng.choice((0, 1, 1, 2))):
                live = ring.head - ring.released
                if rng.random() < 0.1:
                    place, size = rng.choice((((CONNECTIONS, 0, 0), 20), ((0xFFFF, 0, 1), 5), ((0, 0, 0), 0), ((1, 0, 0), RING + 1), ((1, 0, 0), 65535)))
                    reads.append((place, ring.head, size, tb.model.read(*place, ring.head % SPAN, size)))
                elif rng.random() < 0.1:                # perhaps not there, or another pool's
                    place, size = (conn, direction, rng.randrange(4)), rng.randrange(1, 900)
                    offset = ring.released - rng.randrange(2000)
                    reads.append((place, offset, size, tb.model.read(*place, offset % SPAN, size)))
                elif live:
                    back = rng.randrange(1, live + 1)
                    offset, size = ring.head - back, rng.randrange(1, back + 1)
                    reads.append((ring.place, offset, min(size, RING), tb.model.read(*ring.place, offset % SPAN, min(size, RING))))
            tb.reads_of[tag] = reads
            tb.send([header(MessageKind.OUTPUT.value, length, tag)] + [rng.getrandbits(64) for _ in range(length)])
        elif choice < 0.86:                             # a record: both directions of a connection
            kind = rng.choice((MessageKind.SYNC, MessageKind.CONSUMED))
            pair = [rings[conn, 1], rings[conn, 0]]     # leg 0 sends what leg 1 received
            if rng.random() < 0.04:
                tb.record(kind, conn, (0, 0), sort=2, beats=rng.choice((0, 24)))
                for one in pair:
                    one.released = one.head
                    one.place = conn, one.place[1], rng.choice([p for p in range(4) if COUNTS[p]])
            else:
                for one in pair:
                    one.released = rng.choice((one.released, one.head, rng.randrange(one.released, one.head + 1)))
                late = rng.random() < 0.05
                tb.record(kind, conn, [one.released - 3000 * late for one in pair], sort=int(rng.random() < 0.1), beats=rng.choice((2, 4, 24)))
        elif choice < 0.90:
            tb.send([header(MessageKind.RELEASE.value, 0, pack(ReleaseArgument, {"ref": rng.getrandbits(16), "refused": rng.getrandbits(1),
                                                                                 "spare": rng.getrandbits(15)}))])
        elif choice < 0.92:
            tb.copy(rng.choice((CONNECTIONS, 0xFFFF)), 0, 0, 0, 10)
            tb.record(rng.choice((MessageKind.SYNC, MessageKind.CONSUMED)), rng.choice((CONNECTIONS, 0xFFFF)), (0, 0))
        elif choice < 0.94:
            tb.copy(*ring.place, ring.head, rng.choice((RING + 1, 65535)), answer=b"")
        elif choice < 0.96:
            tb.copy(*ring.place, ring.head, 0)
        elif choice < 0.98:     # wrong number of beats
            kind = rng.choice((MessageKind.COPY, MessageKind.COPY, MessageKind.RELEASE, MessageKind.CONSUMED)).value
            extra = {MessageKind.COPY.value: (0, 1, 3, 5), MessageKind.RELEASE.value: (1, 2), MessageKind.CONSUMED.value: (0, 1)}[kind]
            extra = rng.choice(extra)
            tb.send([header(kind, extra, rng.getrandbits(16) % CONNECTIONS)] + [rng.getrandbits(64) for _ in range(extra)])
        else:
            kind = rng.choice((0, 1, 2, 7, 8, 9, 200, 255))
            tb.send([header(kind, 3)] + [rng.getrandbits(64) for _ in range(rng.randrange(4))])
        while len(tb.cmd.queue) > 60:
            await RisingEdge(dut.clk)
    await tb.drain()
    for conn in range(CONNECTIONS):
        tb.record(MessageKind.CONSUMED, conn, (0, 0), sort=2, beats=0)
    await tb.drain()
    assert tb.levels() == list(COUNTS), "every page comes back"


@cocotb.test()
async def commands_and_reads_agree_with_model(dut):
    await random_traffic(dut, 0.0, 0.0)


@cocotb.test()
async def commands_and_reads_agree_with_model_idle(dut):
    await random_traffic(dut, 0.4, 0.0)


@cocotb.test()
async def commands_and_reads_agree_with_model_backpressure(dut):
    await random_traffic(dut, 0.0, 0.5)


@cocotb.test()
async def commands_and_reads_agree_with_model_idle_and_backpressure(dut):
    await random_traffic(dut, 0.3, 0.3)
