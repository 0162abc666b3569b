"""SipHash-2-4, in RTL and in the model, against the vectors of its authors."""
import random

import pytest
from amaranth.sim import Simulator

from spps.failover.sip_hash import SipHash
from spps_sim.model.failover import siphash

#: of the authors' reference code: key 00 01 ... 0f, message 00 01 ... of so many bytes
VECTORS = {
    0: "310e0edd47db6f72", 1: "fd67dc93c539f874", 7: "37d1018bf50002ab", 8: "6224939a79f5f593", 9: "b0e4a90bdf82009e",
    15: "e545be4961ca29a1", 16: "db9bc2577fcc2a3f", 23: "c8ce5ccd8c030ca8", 24: "94af49f6c650adb8",
    32: "ce7cf2722f512771", 40: "d0a704536ba93e0e", 48: "51a9cb9ecba312e6", 56: "bd838d3aafbf8db7",
    63: "724506eb4c328a95",
}
KEY = bytes(range(16))
WORKED_IN = 18      # clocks from the last word to the tag


@pytest.mark.parametrize("size", VECTORS)
def test_the_model_gives_the_published_vectors(size):
    assert siphash(bytes(range(size)), KEY).hex() == VECTORS[size]


def run(messages, key=KEY, gap=lambda: 0):
    """(tag, clocks from the last word) of each message; a message that ends in None is cleared before its last word."""
    dut, found = SipHash(), []

    async def bench(ctx):
        ctx.set(dut.key, int.from_bytes(key, "little"))
        await ctx.tick()
        for message in messages:
            words = [message[at:at + 8] for at in range(0, len(message), 8)]
            for n, word in enumerate(words):
                await ctx.tick().repeat(1 + gap())
                ctx.set(dut.i.payload, {"data": int.from_bytes(word, "little"), "last": n == len(words) - 1})
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)
            if words:
                clocks = 1
                while not ctx.get(dut.done):
                    assert not ctx.get(dut.i.ready)
                    await ctx.tick()
                    clocks += 1
                found.append((ctx.get(dut.tag).to_bytes(8, "little"), clocks))
            else:               # a message that is broken off
                ctx.set(dut.i.payload, {"data": 1, "last": 0})
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)
                await ctx.tick().repeat(1 + gap())
            ctx.set(dut.clear, 1)
            await ctx.tick()
            ctx.set(dut.clear, 0)

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    return found


def test_the_rtl_gives_the_published_vectors():
    sizes = [size for size in VECTORS if size and size % 8 == 0]
    assert len(sizes) == 7
    found = run([bytes(range(size)) for size in sizes])
    assert found == [(bytes.fromhex(VECTORS[size]), WORKED_IN) for size in sizes]


def test_the_rtl_agrees_with_the_model_with_gaps_and_after_messages_broken_off():
    rng = random.Random(1)
    key = rng.randbytes(16)
    messages = [rng.randbytes(8 * rng.randrange(1, 33)) if rng.random() < 0.7 else b"" for _ in range(60)]
    assert b"" in messages and any(len(message) == 256 for message in [*messages, bytes(256)])
    found = run([*messages, bytes(256)], key, lambda: rng.randrange(8))
    assert [tag for tag, _ in found] == [siphash(message, key) for message in [*messages, bytes(256)] if message]


def test_a_word_takes_four_clocks():
    dut, taken = SipHash(), []

    async def bench(ctx):
        ctx.set(dut.i.valid, 1)
        for clock in range(40):
            if ctx.get(dut.i.ready):
                taken.append(clock)
            await ctx.tick()

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    assert len(taken) > 8 and {later - sooner for sooner, later in zip(taken, taken[1:])} == {4}
