"""cocotb on a whole pair: the ACK rule against its model, a withheld ACK, takeover; the same run in the native library."""
import pickle
from pathlib import Path

import pytest

from spps.gen import preset_params
from spps_sim.harness import run_bench
from spps_sim.scenario import Trial
from spps_sim.verilated import pair_verilog

HERE = Path(__file__).parent
TINY = preset_params("tiny")

pytestmark = pytest.mark.slow


def test_pair_keeps_the_ack_rule_and_the_native_library_agrees(tmp_path):
    """Both harnesses give the same frames and marks in the same cycles: what campaigns see is what cocotb sees."""
    recorded = tmp_path / "frames"
    run_bench(pair_verilog(TINY), "bench_system", name="spps_pair", simulator="verilator", test_dir=HERE, ports_only=True,
              extra_env={"SPPS_P_FRAMES": str(recorded)})
    scenario, frames, marks = pickle.loads(recorded.read_bytes())
    trial = Trial(scenario)
    trial.sim.step(1)               # cocotb hands over one cycle after the reset
    trial.start()
    trial.finish()
    assert [tuple(f) for f in trial.frames] == frames
    assert sorted(tuple(m) for m in trial.marks) == sorted(marks)


@pytest.mark.parametrize("width", [64])
def test_one_spps_answers_through_its_spi4_pins(width):
    params = preset_params("tiny", width)
    verilog = pair_verilog(params).with_suffix("") / "spps.v"
    run_bench(verilog, "bench_spps_spi4", name="spps", simulator="verilator", test_dir=HERE, parameters={"width": width}, ports_only=True)
