"""The tick counter."""
from amaranth.sim import Simulator

from spps.lib.tick import TickCounter


def ticks(changes, clocks, loads=None):
    """`now` after each clock; changes: clock -> tick_cycles; loads: clock -> ticks to go on from."""
    dut, seen = TickCounter(), []

    async def bench(ctx):
        for clock in range(clocks):
            if clock in changes:
                ctx.set(dut.tick_cycles, changes[clock])
            ctx.set(dut.load, clock in (loads or {}))
            ctx.set(dut.tick, (loads or {}).get(clock, 0))
            await ctx.tick()
            seen.append(ctx.get(dut.now))
        assert ctx.get(dut.cycles) == clocks

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    return seen


def test_a_tick_lasts_tick_cycles_clocks():
    assert ticks({0: 5}, 20) == [(clock + 1) // 5 for clock in range(20)]


def test_a_shorter_tick_counts_at_once():
    assert ticks({0: 1000, 50: 4}, 60)[48:] == [0, 0] + [1] * 4 + [2] * 4 + [3] * 2


def test_goes_on_from_a_loaded_tick():
    assert ticks({0: 4}, 16, {6: 90}) == [0] * 3 + [1] * 3 + [90] * 4 + [91] * 4 + [92] * 2
