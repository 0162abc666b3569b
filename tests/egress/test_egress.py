"""Output processor against its model and scapy, at every width."""

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from spps.egress import OutputProcessor, OutputQueues, output_processor
from spps.params import TINY
from spps_sim.testbench.runner import run_bench, simulations


@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_output_processor_agrees_with_model(width, simulator):
    run_bench(OutputProcessor(TINY.replace(data_width=width)), "tests.egress.bench_egress", name=f"egress_{width}",
              simulator=simulator, parameters={"width": width})


class ForgetfulQueues(wiring.Component):
    """OutputQueues that sees another identity in every request, so that nothing is behind one of its own connection."""

    def __init__(self):
        self.inner = OutputQueues()
        super().__init__(dict(self.inner.signature.members))

    def elaborate(self, platform):
        m = Module()
        m.submodules.inner = inner = self.inner
        number = Signal(32)
        m.d.sync += number.eq(number + (self.i.valid & self.i.ready))
        m.d.comb += [
            inner.i.valid.eq(self.i.valid), self.i.ready.eq(inner.i.ready),
            inner.i.payload.arp.eq(self.i.payload.arp), inner.i.payload.payload.eq(self.i.payload.payload),
            inner.i.payload.identity.local_ip.eq(number),
        ]
        for name, member in self.signature.members.items():
            if name != "i":
                mine, its = getattr(self, name), getattr(inner, name)
                m.d.comb += its.eq(mine) if member.flow == In else mine.eq(its)
        return m


def test_overtaking_within_a_connection_is_noticed(monkeypatch):
    monkeypatch.setattr(output_processor, "OutputQueues", ForgetfulQueues)
    run_bench(OutputProcessor(TINY), "tests.egress.bench_egress", name="egress_broken", parameters={"broken": 1})
