"""The failover unit against its model, under both simulators."""

import pytest
from amaranth.hdl import Const

from spps.failover.record_store import RecordStore
from spps.failover.switch_over import SwitchOver
from spps.params import TINY
from spps_sim.testbench.runner import SIMULATORS, fast_simulators, run_bench, simulations
from tests.failover.two_units import TwoUnits


@pytest.mark.parametrize("width, simulator", simulations((32, 64, 128), 64))
def test_failover(simulator, width):
    run_bench(TwoUnits(width), "tests.failover.bench_failover", name="failover_units", simulator=simulator,
              parameters={"width": width})


@pytest.mark.parametrize("simulator", fast_simulators())
def test_rejoin(simulator):
    run_bench(TwoUnits(64), "tests.failover.bench_rejoin", name="failover_units", simulator=simulator,
              parameters={"width": 64})


@pytest.mark.parametrize("simulator", fast_simulators())
def test_authentication(simulator):
    run_bench(TwoUnits(64), "tests.failover.bench_authentication", name="failover_units", simulator=simulator,
              parameters={"width": 64})


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_switch_over(simulator):
    run_bench(TwoUnits(64), "tests.failover.bench_switch", name="failover_units", simulator=simulator,
              parameters={"width": 64})


class _Hasty(SwitchOver):
    """Mutation: hands over although a record is not confirmed."""

    def elaborate(self, platform):
        self.settled = Const(1)
        return super().elaborate(platform)


class _Loud(SwitchOver):
    """Mutation: emits on until it hears the other unit."""

    def elaborate(self, platform):
        m = super().elaborate(platform)
        m.d.comb += [self.mute.eq(0), self.yielded.eq(0)]
        return m


@pytest.mark.parametrize("mutation, case", [
    (_Hasty, "handover_waits_for_the_last_confirmation"), (_Loud, "hands_over_and_back")])
def test_a_broken_switch_over_is_found(monkeypatch, mutation, case):
    monkeypatch.setattr("spps.failover.failover_unit.SwitchOver", mutation)
    with pytest.raises(AssertionError, match="cocotb tests failed"):
        run_bench(TwoUnits(64), "tests.failover.bench_switch", name=f"broken_switch{mutation.__name__}",
                  simulator="verilator", parameters={"width": 64}, testcase=case)


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_record_store(simulator):
    run_bench(RecordStore(TINY.replace(replay_records=8)), "tests.failover.bench_record_store", name="record_store",
              simulator=simulator)


def test_refuses_a_ring_smaller_than_two_records_per_core():
    with pytest.raises(ValueError, match="replay_records=8: must be at least two per core, 16"):
        RecordStore.check(TINY.replace(cores=8, replay_records=8, pool_pages=(512, 0, 0, 0)))
