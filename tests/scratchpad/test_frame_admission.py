"""Backpressure before the scratchpad runs out."""
from amaranth.sim import Simulator

from spps.params import TINY
from spps.scratchpad import FrameAdmission

FRAME_PAGES = -(-TINY.max_frame // TINY.scratch_page_bytes)


def _run(testbench):
    dut = FrameAdmission(TINY)
    simulator = Simulator(dut)
    simulator.add_clock(1e-8)

    async def run(ctx):
        await testbench(ctx, dut)

    simulator.add_testbench(run)
    simulator.run()


async def _settle(ctx, dut, free):
    ctx.set(dut.free_pages, free)
    await ctx.tick().repeat(2)


def test_holds_a_frame_without_pages_and_lets_it_in_when_there_are():
    async def bench(ctx, dut):
        ctx.set(dut.o.ready, 1)
        for frame in range(2):
            await _settle(ctx, dut, 2 * FRAME_PAGES - 1)
            ctx.set(dut.i.valid, 1)
            ctx.set(dut.i.payload.data, 0x1234 + frame)
            ctx.set(dut.i.payload.last, 1)
            held = 0
            for _ in range(5):
                assert not ctx.get(dut.o.valid) and not ctx.get(dut.i.ready)
                held += ctx.get(dut.count.held)
                await ctx.tick()
            assert held == 1, "one pulse per held frame"
            ctx.set(dut.free_pages, 2 * FRAME_PAGES)
            await ctx.tick()
            assert ctx.get(dut.o.valid) and ctx.get(dut.i.ready) and not ctx.get(dut.count.held)
            assert ctx.get(dut.o.payload.data) == 0x1234 + frame
            await ctx.tick()
            ctx.set(dut.i.valid, 0)
    _run(bench)


def test_never_stops_inside_a_frame_and_counts_nothing_there():
    async def bench(ctx, dut):
        await _settle(ctx, dut, 2 * FRAME_PAGES)
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.i.valid, 1)
        await ctx.tick()                        # first word
        ctx.set(dut.free_pages, 0)
        for _ in range(5):
            await ctx.tick()
            assert ctx.get(dut.i.ready) and ctx.get(dut.o.valid) and not ctx.get(dut.count.held)
        ctx.set(dut.i.payload.last, 1)
        await ctx.tick()
        assert not ctx.get(dut.i.ready) and ctx.get(dut.count.held), "the next frame waits"
    _run(bench)
