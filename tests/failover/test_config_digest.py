"""The digest of the configuration: whole rounds, in order, without the keys."""
from amaranth.sim import Simulator

from spps.failover.config_digest import ConfigDigest
from spps.layouts.config import CONFIG

WORDS = [100 + 7 * n for n in range(len(CONFIG))]
SECRET = [n for n, word in enumerate(CONFIG) if word.secret]


def digest(words):
    """What the block says after two rounds of these words, each with gaps."""
    dut = ConfigDigest()
    said = []

    async def bench(ctx):
        for _ in range(2):
            for index, value in enumerate(words):
                ctx.set(dut.cfg, {"valid": 1, "index": index, "value": value})
                await ctx.tick()
                ctx.set(dut.cfg.valid, 0)
                await ctx.tick()
        ctx.set(dut.cfg, {"valid": 1, "index": 0, "value": words[0]})
        await ctx.tick()
        said.append(ctx.get(dut.o))

    sim = Simulator(dut)
    sim.add_clock(1e-8)
    sim.add_testbench(bench)
    sim.run()
    return said[0]


def expected(words):
    """Fletcher's second sum, modulo 2^32."""
    first = second = 0
    for index, value in enumerate(words):
        if index not in SECRET:
            first += value
            second += first
    return second % 2**32


def test_agrees_with_fletchers_sum():
    for words in (WORDS, [0xFFFFFFFF - word for word in WORDS]):
        assert digest(words) == expected(words)


def test_a_word_and_its_place_count():
    plain = digest(WORDS)
    for place in (0, 1, len(WORDS) - 1):
        assert digest([word + (n == place) for n, word in enumerate(WORDS)]) != plain
    assert digest([WORDS[1], WORDS[0], *WORDS[2:]]) != plain


def test_keys_do_not_count():
    assert SECRET
    assert digest([word + 99 * (n in SECRET) for n, word in enumerate(WORDS)]) == digest(WORDS)
