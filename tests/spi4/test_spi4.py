"""SPI-4: published parity vectors, and the cocotb benches of sink and source."""
import random

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from spps.params import TINY
from spps.spi4 import Dip2, Dip4, Rotation, Spi4Sink, Spi4Source
from spps_sim.model.spi4 import dip2, dip4
from spps_sim.testbench.runner import run_bench, simulations

#: words before, control word with its parity; rotation None: either way
VECTORS = (
    ([], 0x000F, None), ([], 0x0FFF, None), ([], 0x9006, None), ([0xF000] * 10, 0x0FFF, None),
    ([0x1234, 0x5678], 0x400C, Rotation.RIGHT), ([0x1234, 0x5678], 0x4003, Rotation.LEFT),
)


@pytest.mark.parametrize("words, control, rotation", VECTORS)
def test_dip4_of_published_vectors(words, control, rotation):
    for way in (rotation,) if rotation else Rotation:
        assert Dip4(way).compute(words, control & 0xFFF0) == control
    if rotation is not Rotation.LEFT:
        assert dip4(words, control) == control & 0xF


def test_dip4_and_dip2_agree_with_the_model_and_the_rtl():
    rng = random.Random(1)
    total, word, pair = Signal(16), Signal(16), Signal(2)
    folded = {rotation: Signal(4, name=rotation.name) for rotation in Rotation}
    stepped = Signal(2)
    m = Module()
    for rotation, sink in folded.items():
        m.d.comb += sink.eq(Dip4(rotation).fold(Dip4(rotation).step(total, word)))
    m.d.comb += stepped.eq(Dip2().step(pair, word[:2]))
    cases = [([rng.randrange(1 << 16) for _ in range(rng.randrange(20))], rng.randrange(1 << 16)) for _ in range(100)]

    async def process(ctx):
        for words, control in cases:
            ctx.set(word, control | 0xF)
            for rotation in Rotation:
                value = 0
                for w in words:
                    value = Dip4(rotation).step(value, w)
                ctx.set(total, value)
                assert ctx.get(folded[rotation]) == Dip4(rotation).compute(words, control) & 0xF
            assert Dip4().compute(words, control) & 0xF == dip4(words, control)
            short = [w & 3 for w in words]
            value = 0
            for w in short:
                value = Dip2().step(value, w)
            ctx.set(pair, value)
            assert ctx.get(stepped) == Dip2().compute(short) == dip2(short)

    simulator = Simulator(m)
    simulator.add_testbench(process)
    simulator.run()


@pytest.mark.slow
@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
@pytest.mark.parametrize("block", (Spi4Sink, Spi4Source))
def test_exchanges_packets_with_the_model(block, width, simulator):
    name = {Spi4Sink: "spi4_sink", Spi4Source: "spi4_source"}[block]
    run_bench(block(TINY.replace(data_width=width)), f"tests.spi4.bench_{name}", name=name, simulator=simulator,
              parameters={"width": width})
