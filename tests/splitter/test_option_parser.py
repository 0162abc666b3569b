"""TCP options: every cut of every option, against the model; the parse always ends."""
import random

from amaranth.sim import Simulator

from spps.splitter import OptionParser
from spps_sim.model.splitter import parse_options

OPTIONS = (b"\x01", b"\x02\x04\x05\xb4", b"\x03\x03\x07", b"\x03\x03\x0f", b"\x04\x02", b"\x08\x0a" + bytes(range(8)),
           b"\x05\x0a" + bytes(range(8)), b"\x05\x12" + bytes(range(16)), b"\xfe\x06abcd", b"\xfe\x02", b"\x00")


def cases(rng):
    for option in OPTIONS:                              # cut everywhere, and one byte more or less than it should have
        for size in range(len(option) + 1):
            yield option[:size]
            yield b"\x01" * (40 - size) + option[:size]
        for change in (-1, 1) if len(option) > 1 else ():
            yield option[:1] + bytes([option[1] + change]) + option[2:] + b"\x01\x04\x02"
    for _ in range(1500):
        octets = b"".join(rng.choice(OPTIONS) for _ in range(rng.randrange(6)))
        if octets and rng.random() < 0.3:
            at = rng.randrange(len(octets))
            octets = octets[:at] + rng.randbytes(1) + octets[at + 1:]
        yield octets[:rng.randrange(41)]


def test_reads_options_as_the_model_in_a_clock_per_byte():
    rng = random.Random(1)
    dut = OptionParser()

    async def process(ctx):
        for octets in cases(rng):
            octets, syn = octets[:40], rng.random() < 0.7
            padded = octets + rng.randbytes(40 - len(octets))      # stale words
            for n in range(10):
                ctx.set(dut.words[n], int.from_bytes(padded[4 * n:4 * n + 4], "big"))
            ctx.set(dut.size, len(octets))
            ctx.set(dut.syn, syn)
            ctx.set(dut.start, 1)
            await ctx.tick()
            ctx.set(dut.start, 0)
            clocks = 0
            while not ctx.get(dut.done):
                await ctx.tick()
                clocks += 1
                assert clocks <= len(octets) + 1, f"{octets.hex()}: no end"
            found = ctx.get(dut.o)
            assert {name: found[name] for name in dut.o.shape().members} == parse_options(octets, syn), octets.hex()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(process)
    simulator.run()


def test_reads_the_usual_options_in_two_clocks():
    dut = OptionParser()
    octets = b"\x01\x01\x08\x0a" + bytes(range(8))

    async def process(ctx):
        for n in range(3):
            ctx.set(dut.words[n], int.from_bytes(octets[4 * n:4 * n + 4], "big"))
        ctx.set(dut.size, 12)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        assert not ctx.get(dut.done)
        await ctx.tick()
        assert ctx.get(dut.done)
        found = ctx.get(dut.o)
        assert {name: found[name] for name in dut.o.shape().members} == parse_options(octets, False)

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(process)
    simulator.run()
