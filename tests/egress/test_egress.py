"""Output processor against its model and scapy, at every width."""
from pathlib import Path

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from spps import egress
from spps.egress import OutputProcessor, OutputQueues, output_processor
from spps.egress.frame import CONTROL_BUFFERS, ORDERED_OUTPUTS, STORE_ROWS, STORE_SLOTS
from spps.params import TINY
from spps_sim.model.egress import EgressModel
from spps_sim.testbench.runner import run_bench, simulations


@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_output_processor_agrees_with_model(width, simulator):
    run_bench(OutputProcessor(TINY.replace(data_width=width)), "tests.egress.bench_egress", name=f"egress_{width}",
              simulator=simulator, parameters={"width": width})


def test_readme_has_the_depths_of_the_queues():
    text = (Path(egress.__file__).parent / "README.md").read_text()
    for words in (f"ORDERED_OUTPUTS = {ORDERED_OUTPUTS} outputs", f"ORDERED {ORDERED_OUTPUTS} ",
                  f"CONTROL_BUFFERS = {CONTROL_BUFFERS} ", f"CONTROL {CONTROL_BUFFERS} ",
                  f"({STORE_SLOTS} × body", f"({STORE_ROWS} rows a slot)"):
        assert words in text
    assert EgressModel.MAY_PASS == 3 and "at most three younger frames leave before it" in text


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
