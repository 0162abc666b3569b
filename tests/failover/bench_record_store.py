"""The replay ring across the wrap of its numbers, before a standby that misses records and confirmations."""
import os
import random

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from spps.failover.sync_frame import RecordHead
from spps.failover.record_store import RecordStore
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


class Standby:
    """Takes records in order, loses some, confirms the last one in order, and loses some of that."""

    def __init__(self, tb, first, loss):
        self.tb, self.expected, self.loss, self.beats, self.taken = tb, first, loss, [], []

    def beat(self, beat):
        self.beats.append(beat["data"])
        if beat["last"]:
            head, *body = self.beats
            self.beats = []
            head = unpack(RecordHead, head)
            if head["number"] == self.expected and self.tb.rng.random() >= self.loss:
                self.taken.append((head["number"], head["conn"], head["kind"], body))
                self.expected = (self.expected + 1) % MODULUS
            if self.tb.rng.random() >= self.loss:
                self.tb.confirm(self.expected - 1)


class TB:
    def __init__(self, dut, pause):
        self.dut, self.rng = dut, random.Random(SEED)
        self.source = StreamSource(dut, "i", dut.clk, layout=beat_layout(), idle=pause, rng=self.rng)
        self.sink = StreamSink(dut, "o", dut.clk, layout=beat_layout(), pause=pause, rng=self.rng, callback=lambda beat: self.standby.beat(beat))
        self.pending = []
        self.counts = dict.fromkeys(RecordStore.COUNTERS, 0)
        dut.i_confirm__valid.value = 0
        cocotb.start_soon(self.every_clock())

    @classmethod
    async def start(cls, dut, before, *, loss, pause):
        """`before`: number of the record before the first."""
        dut._log.info("seed %d", SEED)
        start_clock(dut)
        dut.rst.value = 1
        dut.enable.value, dut.free_run.value, dut.load.value, dut.retransmit_after.value = 1, 0, 0, RETRANSMIT
        await ClockCycles(dut.clk, 4)
        tb = cls(dut, pause)
        tb.standby = Standby(tb, (before + 1) % MODULUS, loss)
        await reset(dut)
        dut.load.value, dut.load_number.value = 1, before
        await RisingEdge(dut.clk)
        dut.load.value = 0
        return tb

    def confirm(self, number):
        self.pending.append((self.rng.randrange(1, 60), number % MODULUS))

    async def every_clock(self):
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
        kind = self.rng.randrange(3)
        conn = self.rng.randrange(16)
        body = [self.rng.getrandbits(64) for _ in range(BODY[kind])]
        head = pack(MessageHeader, {"argument": pack(SyncArgument, {"conn": conn, "kind": kind})})
        for index, data in enumerate([head, *body]):
            self.source.send({"data": data, "last": index == len(body)})
        return conn, kind, body

    async def until_confirmed(self, number):
        for _ in range(4000):
            await ClockCycles(self.dut.clk, 50)
            if int(self.dut.confirmed.value) == number and self.source.empty():
                return
        raise AssertionError(f"confirmed {int(self.dut.confirmed.value):#x} of {number:#x}: {self.counts}")


@cocotb.test()
@cocotb.parametrize(last=(-2, -1, 0, 1, 20), loss=(0, 0.3), pause=(0, 0.4))
async def numbers_wrap(dut, last, loss, pause):
    """The last record is number `last` modulo 2**32."""
    count = 24
    tb = await TB.start(dut, (last - count) % MODULUS, loss=loss, pause=pause)
    sent = [tb.record() for _ in range(count)]
    await tb.until_confirmed(last % MODULUS)
    await ClockCycles(dut.clk, 3 * RETRANSMIT)
    numbers = [(last - count + 1 + k) % MODULUS for k in range(count)]
    assert tb.standby.taken == [(number, *record) for number, record in zip(numbers, sent)]
    assert tb.counts["records"] == count and int(dut.issued.value) == last % MODULUS and int(dut.sync_ready.value)
    assert (tb.counts["retransmit"] > 0) == (loss > 0) and not tb.standby.beats
    assert not (tb.counts["bad_record"] or tb.counts["refused_record"] or tb.counts["bad_confirm"])


@cocotb.test()
async def confirmations_of_what_was_never_issued_change_nothing(dut):
    tb = await TB.start(dut, MODULUS - 3, loss=0, pause=0)
    tb.standby.loss = 1
    for _ in range(3):
        tb.record()
    await ClockCycles(dut.clk, 200)
    for ahead in (1, 2, 1000, MODULUS // 2 - 10):
        tb.confirm(ahead)
    await ClockCycles(dut.clk, 100)
    assert int(dut.confirmed.value) == MODULUS - 3 and tb.counts["bad_confirm"] == 4
    tb.confirm(MODULUS - 4)                     # an old one: neither believed nor wrong
    await ClockCycles(dut.clk, 100)
    assert int(dut.confirmed.value) == MODULUS - 3 and tb.counts["bad_confirm"] == 4
    tb.standby.loss = 0
    await tb.until_confirmed(0)
