"""The connection allocator on a memory whose rows are undefined while they are written, as in block RAM."""
import random
from types import SimpleNamespace

import pytest
from amaranth.hdl import Cat, Const, Elaboratable, Module, Mux, Signal
from amaranth.lib import memory
from amaranth.sim import Simulator

from spps.lookup import conn_allocator
from spps.lookup.marks import MarkOp
from spps.params import TINY

CONNECTIONS = 16
KEPT = range(CONNECTIONS // 2)      # ids that stay in use
CLOCKS = 6000


class CollidingMemory(Elaboratable):
    """A memory that answers with inverted bits when the row that is read was written in the same clock."""

    def __init__(self, *, shape, depth, init, attrs):
        assert attrs == {"no_rw_check": 1}
        self.memory, self.shape = memory.Memory(shape=shape, depth=depth, init=init), shape
        self.writes, self.reads = [], []

    def write_port(self):
        self.writes.append(port := self.memory.write_port())
        return port

    def read_port(self, *, domain):
        port = self.memory.read_port(domain=domain)
        seen = SimpleNamespace(addr=port.addr, en=port.en, data=Signal(self.shape))
        self.reads.append((port, seen))
        return seen

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory = self.memory
        for port, seen in self.reads:
            hit = Signal()
            m.d.sync += hit.eq(Cat(write.en & (write.addr == port.addr) for write in self.writes).any())
            m.d.comb += seen.data.eq(Mux(hit, ~port.data, port.data))
        return m


@pytest.mark.parametrize("seed", range(3))
def test_a_second_reader_is_not_disturbed_by_marks_and_sweeps(monkeypatch, seed):
    """What is asked about stays in use, while everything else about it and others changes; the counts stay right."""
    monkeypatch.setattr(conn_allocator, "memory", SimpleNamespace(Memory=CollidingMemory))
    dut, rng = conn_allocator.ConnAllocator(TINY.replace(connections=CONNECTIONS)), random.Random(seed)
    used, half, covered = set(), set(), set()
    asked = [0]

    async def mark(ctx, conn, op):
        ctx.set(dut.i_mark.payload, {"conn": conn, "op": op})
        ctx.set(dut.i_mark.valid, 1)
        ready = 0
        while not ready:
            *_, ready = await ctx.tick().sample(dut.i_mark.ready)
        ctx.set(dut.i_mark.valid, 0)
        if op in (MarkOp.CREATE, MarkOp.INSERT):
            used.add(conn)
        if op == MarkOp.CREATE:
            half.add(conn)
        elif op == MarkOp.COVERED:
            covered.update({conn} & used)
        elif op == MarkOp.HALF_OPEN:
            half.update({conn} & used)
        elif op in (MarkOp.ESTABLISHED, MarkOp.FREE):
            half.discard(conn)
        if op == MarkOp.FREE:
            used.discard(conn)
            covered.discard(conn)

    async def settle(ctx):
        await ctx.tick().repeat(4)
        while ctx.get(dut.sweeping):
            await ctx.tick()
        assert (ctx.get(dut.in_use), ctx.get(dut.half_open), ctx.get(dut.exposed)) == \
            (len(used), len(half), len(used - half - covered))

    async def marks(ctx):
        for conn in KEPT:
            await mark(ctx, conn, MarkOp.INSERT)
        await settle(ctx)
        ctx.set(dut.scan_conn, KEPT[0])
        await ctx.tick().repeat(2)
        ops = [op for op in MarkOp if op not in (MarkOp.CREATE, MarkOp.FREE)]
        while asked[0] < CLOCKS:
            for _ in range(rng.randrange(10)):
                if rng.random() < 0.7:
                    await mark(ctx, rng.choice(KEPT), rng.choice(ops))
                    continue
                conn = rng.randrange(len(KEPT), CONNECTIONS)
                await mark(ctx, conn, rng.choice([*ops, MarkOp.FREE] if conn in used else [MarkOp.CREATE]))
            if rng.random() < 0.5:
                await settle(ctx)
                ctx.set(dut.uncover, 1)
                await ctx.tick()
                ctx.set(dut.uncover, 0)
                covered.clear()
            await settle(ctx)

    async def scan(ctx):
        while ctx.get(dut.in_use) < len(KEPT):
            await ctx.tick()
        conn = None
        while True:
            before, conn = conn, rng.choice(KEPT)
            ctx.set(dut.scan_conn, conn)
            await ctx.tick()
            asked[0] += before is not None
            assert ctx.get(dut.scan_valid), f"{conn} is in use"

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(marks)
    simulator.add_testbench(scan, background=True)
    simulator.run()
    assert asked[0] >= CLOCKS


def test_the_memory_of_these_tests_can_disturb(monkeypatch):
    """Without what the allocator does about it, a reader is disturbed."""
    monkeypatch.setattr(conn_allocator, "Mux", lambda select, hit, miss: Mux(Const(0), hit, miss))
    with pytest.raises(AssertionError, match="is in use"):
        test_a_second_reader_is_not_disturbed_by_marks_and_sweeps(monkeypatch, 0)
