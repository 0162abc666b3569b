"""Announcer against its model, at every width, and designs that it rejects."""
import inspect

import pytest

from spps.neighbour import Announcer, announcer
from spps.params import TINY
from spps_sim.testbench.runner import run_bench, simulations

BENCH = "tests.neighbour.bench_announcer"


@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_announcer_agrees_with_model(width, simulator):
    run_bench(Announcer(TINY.replace(data_width=width)), BENCH, name="announcer", simulator=simulator,
              parameters={"width": width})


def mutated(old, new):
    """Announcer with a piece of its source changed."""
    source = inspect.getsource(announcer)
    assert source.count(old) == 1, f"{old!r}: not once in the source"
    names = {"__name__": "mutated", "__package__": announcer.__package__}
    exec(compile(source.replace(old, new), "announcer_mutated.py", "exec"), names)
    return names["Announcer"]


@pytest.mark.parametrize("name, old, new", (
    ("standby", "self.active & self.enable", "self.enable"),
    ("disabled", "self.active & self.enable", "self.active"),
    ("once", "m.d.sync += sent.eq(0)", "pass"),
    ("nobody", "& (self.vip[n] != 0)", ""),
    ("endless", "m.d.sync += [sent.eq(sent + 1), since", "m.d.sync += [sent.eq(1), since"),
    ("burst", "(waited >= config.announce_interval)", "1"),
    ("late", "((sent == 0) | (waited", "((waited"),
    ("requests", "Mux(reply, ArpOperation.REPLY.value, ArpOperation.REQUEST.value)", "ArpOperation.REQUEST.value"),
    ("probe", "vip, Mux(reply, self.mac, 0), vip,", "Mux(reply, vip, 0), Mux(reply, self.mac, 0), vip,"),
    ("withdrawn", "with m.If(out.ready):", "with m.If(out.ready | ~self.enable):"),
))
def test_broken_announcer_is_noticed(name, old, new):
    with pytest.raises(AssertionError, match="cocotb tests failed"):
        run_bench(mutated(old, new)(TINY), BENCH, name=f"announcer_{name}", simulator="icarus",
                  parameters={"width": TINY.data_width})
