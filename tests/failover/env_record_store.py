"""A replay ring and a standby that misses records and confirmations."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge

from spps.failover.record_store import RecordStore
from spps.failover.sync_frame import RecordHead
from spps.layouts.message import MessageHeader, beat_layout
from spps.layouts.record import SyncArgument
from spps_sim.testbench.bus.stream import (
    StreamSink,
    StreamSource,
    pack,
    reset,
    start_clock,
    unpack,
)

SEED = int(os.environ["SPPS_SEED"])
BODY = (8 // 2, 48 // 2, 48 // 2)       # beats of a delta, a full record, a retirement: see failover/README.md
MODULUS = 1 << 32
RETRANSMIT = 400


class _Standby:
    """Takes records in order, loses some, confirms the last one in order, and loses some of that."""

    def __init__(self, env, first, loss):
        self.env, self.expected, self.loss, self.beats, self.taken = env, first, loss, [], []

    def beat(self, beat):
        """One beat of a record."""
        self.beats.append(beat["data"])
        if beat["last"]:
            head, *body = self.beats
            self.beats = []
            head = unpack(RecordHead, head)
            if head["number"] == self.expected and self.env.rng.random() >= self.loss:
                self.taken.append((head["number"], head["conn"], head["kind"], body))
                self.expected = (self.expected + 1) % MODULUS
            if self.env.rng.random() >= self.loss:
                self.env.confirm(self.expected - 1)


class Env:
    """The ring; `standby` says what it has taken, `counts` what was counted."""

    def __init__(self, dut, pause):
        self.dut, self.rng = dut, random.Random(SEED)
        self.source = StreamSource(dut, "i", dut.clk, layout=beat_layout(), idle=pause, rng=self.rng)
        self.sink = StreamSink(dut, "o", dut.clk, layout=beat_layout(), pause=pause, rng=self.rng,
                               callback=lambda beat: self.standby.beat(beat))
        self.pending = []
        self.counts = dict.fromkeys(RecordStore.COUNTERS, 0)
        dut.i_confirm__valid.value = 0
        cocotb.start_soon(self.every_clock())

    @classmethod
    async def start(cls, dut, before, *, loss, pause):
        """Start after a reset.

        before: number of the record before the first. loss: share of records, and of confirmations, that are lost.
        """
        dut._log.info("seed %d", SEED)
        start_clock(dut)
        dut.rst.value = 1
        dut.enable.value, dut.free_run.value, dut.load.value, dut.retransmit_after.value = 1, 0, 0, RETRANSMIT
        dut.end.value, dut.o_covered__ready.value = 0, 1
        await ClockCycles(dut.clk, 4)
        env = cls(dut, pause)
        env.standby = _Standby(env, (before + 1) % MODULUS, loss)
        await reset(dut)
        dut.load.value, dut.load_number.value = 1, before
        await RisingEdge(dut.clk)
        dut.load.value = 0
        return env

    def confirm(self, number):
        """Confirm `number` some clocks later."""
        self.pending.append((self.rng.randrange(1, 60), number % MODULUS))

    async def every_clock(self):
        """Count, and give confirmations when they are due."""
        while True:
            await RisingEdge(self.dut.clk)
            if int(self.dut.rst.value):
                continue
            bits = int(self.dut.count.value)
            for k, name in enumerate(self.counts):
                self.counts[name] += bits >> k & 1
            self.pending = [(left - 1, number) for left, number in self.pending]
            due = next((entry for entry in self.pending if entry[0] <= 0), None)
            self.dut.i_confirm__valid.value = int(due is not None)
            if due:
                self.pending.remove(due)
                self.dut.i_confirm__payload.value = due[1]

    def record(self):
        """Send a SYNC message; returns (conn, kind, body)."""
        kind = self.rng.randrange(3)
        conn = self.rng.randrange(16)
        body = [self.rng.getrandbits(64) for _ in range(BODY[kind])]
        head = pack(MessageHeader, {"argument": pack(SyncArgument, {"conn": conn, "kind": kind})})
        for index, data in enumerate([head, *body]):
            self.source.send({"data": data, "last": index == len(body)})
        return conn, kind, body

    async def until_confirmed(self, number):
        """Wait until `number` is the last record confirmed."""
        for _ in range(4000):
            await ClockCycles(self.dut.clk, 50)
            if int(self.dut.confirmed.value) == number and self.source.empty():
                return
        raise AssertionError(f"confirmed {int(self.dut.confirmed.value):#x} of {number:#x}: {self.counts}")
