"""Random commands and reads against the model; see test_socket.py."""
import os
import random
from collections import deque

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps.layouts.message import (CopyArgument, MessageHeader, MessageKind, ScratchRead, SocketAddress, SocketRead, Unit,
                                  beat_layout)
from spps.layouts.packet import packet_layout
from spps.socket import SocketMemoryController
from spps_sim.bus.counters import CounterMonitor
from spps_sim.bus.packet import PacketCollector, packet_words
from spps_sim.bus.stream import StreamSink, StreamSource, pack, reset, start_clock
from spps_sim.harness import default_seed
from spps_sim.model.socket import SocketModel

WIDTH = int(os.environ.get("SPPS_P_WIDTH", "64"))
CONNECTIONS, RING = 4, 2048


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
        self.model = SocketModel(CONNECTIONS, RING, lambda ref, skip, length: self.answers[ref])
        self.answers = {}           # ref -> (bytes, err), fixed when the COPY is made
        self.requests = {}          # ref -> (skip, length) the request must have
        self.message, self.passed = [], []
        self.reads_of = {}          # tag of an OUTPUT -> [(conn, direction, offset, length, expected)]
        self.expected = deque()     # answers to reads in order
        self.busy_until = {}        # ring -> multiset of offsets still to be read
        self.ref = 0

    def answer(self, request):
        assert self.requests.pop(request["ref"]) == (request["skip"], request["length"])
        data, err = self.answers[request["ref"]]
        for word in packet_words(data, WIDTH, err=err, fill=self.rng.randrange(256)):
            self.scratch.send(word)

    def passed_beat(self, beat):
        self.message.append(beat["data"])
        if beat["last"]:
            self.passed.append(self.message)
            for conn, direction, offset, length, expected in self.reads_of.pop(self.message[0] >> 32, ()):
                self.read.send({"address": {"offset": offset & 0xFFFFFFFF, "ring": {"conn": conn, "direction": direction}},
                                "length": length})
                self.expected.append((conn, direction, offset, expected))
            self.message = []

    def answered(self, port, data, err):
        conn, direction, offset, expected = self.expected.popleft()
        assert port == 0
        assert err == (expected is None), f"read of {conn}.{direction} at {offset}: err={err}"
        if expected is not None:
            assert data == expected, f"read of {conn}.{direction} at {offset:#x}: {data.hex()} instead of {expected.hex()}"
            assert not any(self.collector.unused)
            self.busy_until[conn, direction].remove(offset)

    def send(self, message):
        self.model.execute(message)
        for i, beat in enumerate(message):
            self.cmd.send({"data": beat, "last": int(i == len(message) - 1)})

    def copy(self, conn, direction, offset, length, *, answer=None, err=False):
        """A COPY message with its scratchpad answer (default: as many random bytes as asked for)."""
        self.ref = self.ref + 1 & 0xFFFF
        skip = self.rng.randrange(100)
        self.answers[self.ref] = self.rng.randbytes(length) if answer is None else answer, err
        if conn < CONNECTIONS and 0 < length <= RING:
            self.requests[self.ref] = skip, length
        self.send([header(MessageKind.COPY.value, 2),
                   pack(CopyArgument, {"ref": self.ref, "skip": skip, "length": length}),
                   pack(SocketAddress, {"offset": offset & 0xFFFFFFFF, "ring": {"conn": conn, "direction": direction}})])

    async def drain(self, limit=20000):
        for _ in range(limit):
            await RisingEdge(self.dut.clk)
            if (self.cmd.empty() and self.scratch.empty() and self.read.empty() and not self.expected and not self.requests
                    and len(self.passed) == len(self.model.passed) and len(self.free.received) == len(self.model.freed)):
                break
        await ClockCycles(self.dut.clk, 20)
        assert not self.expected and not self.reads_of and not self.requests and not self.message
        assert self.passed == self.model.passed
        assert list(self.free.received) == self.model.freed
        assert dict(self.counters.total) == {name: self.model.count[name] for name in SocketMemoryController.COUNTERS}
        messages = sum(self.counters.total[name] for name in SocketMemoryController.COUNTERS if "read" not in name)
        self.dut._log.info("seed %d: %d messages, %s", default_seed(), messages, dict(self.counters.total))


async def start(dut, seed, idle=0.0, pause=0.0):
    start_clock(dut)
    tb = TB(dut, seed, idle, pause)
    await reset(dut)
    return tb


async def random_traffic(dut, idle, pause, messages=250):
    tb = await start(dut, default_seed() * 1000 + int(idle * 10) * 10 + int(pause * 10), idle, pause)
    rng = tb.rng
    heads = {(c, d): rng.choice((0, 2**32 - 700, rng.randrange(2**32))) for c in range(CONNECTIONS) for d in (0, 1)}
    valid = {ring: 0 for ring in heads}         # bytes behind the head that were written
    tb.busy_until = {ring: [] for ring in heads}
    for tag in range(messages):
        choice = rng.random()
        ring = rng.choice(list(heads)[:3])
        if choice < 0.5:
            length = rng.choice((rng.randrange(1, 40), rng.randrange(1, 700), rng.randrange(1, 9), 64))
            end = heads[ring] + length
            # the ring rule: unread bytes are not overwritten
            for _ in range(20000):
                if all(end - start <= RING for start in tb.busy_until[ring]):
                    break
                await RisingEdge(dut.clk)
            else:
                raise AssertionError("reads do not complete")
            broken = rng.random()
            kwargs = {}
            if broken < 0.03:
                kwargs = {"err": True}
            elif broken < 0.06:
                kwargs = {"answer": rng.randbytes(rng.randrange(1, length + 1))}
            elif broken < 0.09:
                kwargs = {"answer": rng.randbytes(length + rng.randrange(1, 40))}
            tb.copy(*ring, heads[ring], length, **kwargs)
            heads[ring] = end
            # bytes a short answer did not write are what was there before: known to the model only when once written
            short = len(tb.answers[tb.ref][0]) < length
            valid[ring] = 0 if short else min(RING, valid[ring] + length)
        elif choice < 0.8:
            kind = rng.choice((MessageKind.OUTPUT, MessageKind.SYNC)).value
            length = rng.choice((0, 1, 8, 30, 64))
            reads = []
            for _ in range(rng.choice((0, 1, 1, 2))):
                back = rng.randrange(valid[ring] + 1)
                if rng.random() < 0.1:
                    conn, size = rng.choice(((CONNECTIONS, 20), (0xFFFF, 5), (0, 0), (1, RING + 1), (1, 65535)))
                    reads.append((conn, 0, heads[ring], size, tb.model.read(conn, 0, heads[ring], size)))
                elif back:
                    offset, size = heads[ring] - back, rng.randrange(1, back + 1)
                    tb.busy_until[ring].append(offset)
                    reads.append((*ring, offset, size, tb.model.read(*ring, offset, size)))
            tb.reads_of[tag] = reads
            tb.send([header(kind, length, tag)] + [rng.getrandbits(64) for _ in range(length)])
        elif choice < 0.87:
            tb.send([header(MessageKind.RELEASE.value, 0, rng.getrandbits(32))])
        elif choice < 0.90:
            tb.copy(rng.choice((CONNECTIONS, 0xFFFF)), 0, 0, 10)
        elif choice < 0.92:
            tb.copy(*ring, heads[ring], rng.choice((RING + 1, 65535)), answer=b"")
        elif choice < 0.94:
            tb.copy(*ring, heads[ring], 0)
        elif choice < 0.97:     # wrong number of beats
            kind = rng.choice((MessageKind.COPY, MessageKind.COPY, MessageKind.RELEASE)).value
            extra = rng.choice((0, 1, 3, 5)) if kind == MessageKind.COPY.value else rng.choice((1, 2))
            tb.send([header(kind, extra, rng.getrandbits(32))] + [rng.getrandbits(64) for _ in range(extra)])
        else:
            kind = rng.choice((0, 1, 2, 7, 8, 9, 200, 255))
            tb.send([header(kind, 3)] + [rng.getrandbits(64) for _ in range(rng.randrange(4))])
    await tb.drain()


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


@cocotb.test()
async def moves_one_word_per_clock_both_ways(dut):
    """A full ring copied and read at the same time takes as many clocks as it has words, and a few."""
    tb = await start(dut, default_seed())
    tb.busy_until = {(0, 0): [], (1, 0): []}
    tb.copy(0, 0, 5, RING)
    await tb.drain()
    tb.busy_until[0, 0].append(9)
    tb.expected.append((0, 0, 9, tb.model.read(0, 0, 9, RING)))
    tb.read.send({"address": {"offset": 9, "ring": {"conn": 0, "direction": 0}}, "length": RING})
    tb.copy(1, 0, 3, RING)
    clocks = 0
    while tb.expected or len(tb.free.received) < 2:
        await RisingEdge(dut.clk)
        clocks += 1
        assert clocks < 10000
    words = RING // (WIDTH // 8)
    dut._log.info("%d words copied and read in %d clocks", words, clocks)
    assert clocks <= words + 20
    await tb.drain()


@cocotb.test()
async def passes_output_only_after_copy_is_written(dut):
    """An OUTPUT behind a COPY stays inside while the scratchpad does not answer."""
    tb = await start(dut, default_seed())
    tb.busy_until = {(0, 1): []}
    held, tb.asked.callback = [], lambda request: held.append(request)
    tb.copy(0, 1, 77, 300)
    tb.reads_of[5] = [(0, 1, 77, 300, tb.model.read(0, 1, 77, 300))]
    tb.busy_until[0, 1].append(77)
    tb.send([header(MessageKind.OUTPUT.value, 1, 5), 1])
    await ClockCycles(dut.clk, 200)
    assert not tb.out.received and not tb.free.received and len(held) == 1
    tb.answer(held[0])
    await tb.drain()


@cocotb.test()
async def writes_no_more_and_no_less_than_answered(dut):
    """A wrong answer of the scratchpad leaves every byte alone that was not asked for or not answered."""
    tb = await start(dut, default_seed())
    ring = (2, 1)
    tb.busy_until = {ring: []}
    for tag, (offset, asked, answered) in enumerate(((3, 100, 117), (250, 64, 63), (2040, 20, 60), (9, 1, 40), (700, 33, 1))):
        tb.copy(*ring, offset, RING)
        tb.copy(*ring, offset + RING, asked, answer=tb.rng.randbytes(answered))
        tb.reads_of[tag] = [(*ring, offset + 1, RING, tb.model.read(*ring, offset + 1, RING))]
        tb.busy_until[ring].append(offset + 1)
        tb.send([header(MessageKind.OUTPUT.value, 0, tag)])
        await tb.drain()
    assert tb.counters.total["scratch_error"] == 5
