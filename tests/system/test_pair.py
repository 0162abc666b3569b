"""cocotb on a pair: the ACK rule against its model, a withheld ACK, takeover; the same run in the native library."""
import pickle

import pytest

from spps.gen import preset_params, write_spps
from spps.tools.paths import BUILD, exclusive
from spps_sim.backend.interface import FrameKind
from spps_sim.backend.simulation import Simulation
from spps_sim.backend.verilated import pair_verilog
from spps_sim.campaign.scenario import Trial
from spps_sim.checker import wire
from spps_sim.peers.frames import parse_arp
from spps_sim.testbench.runner import run_bench
from tests.system.bench_pair_opening import opening

TINY = preset_params("tiny")
OUTPUTS = (0, 1)        # ports of frames of unit 0 toward client and server

pytestmark = pytest.mark.slow


def verilog(params):
    """spps_pair.v of these parameters."""
    with exclusive("pair"):
        return pair_verilog(params)


def test_pair_keeps_the_ack_rule_and_the_native_library_agrees(tmp_path):
    """Both harnesses give the same frames on each network: what campaigns see is what cocotb sees.

    Cycles are not compared: ticks count from the write of `tick_cycles`, and the harnesses need not hand it over in the
    same clock.
    """
    recorded = tmp_path / "frames"
    run_bench(verilog(TINY), "tests.system.bench_pair", name="spps_pair", simulator="verilator",
              extra_env={"SPPS_P_FRAMES": str(recorded)})
    scenario, frames, marks = pickle.loads(recorded.read_bytes())
    trial = Trial(scenario)
    trial.sim.step(1)               # cocotb hands over one cycle after the reset
    trial.start()
    trial.finish()
    for port in OUTPUTS:
        mine = [f.data for f in trial.frames
                if f.kind is FrameKind.OUT and f.port == port and not wire.is_announcement(f.data)]
        theirs = [f[4] for f in frames
                  if f[0] is FrameKind.OUT and f[1] == port and not wire.is_announcement(f[4])]
        assert mine and mine == theirs


def test_the_first_frames_are_the_same_in_four_states(tmp_path):
    """Icarus, a hundred cycles a second: announcements, the SYN to the server, an ARP request; drivers fail on an X.

    The ARP request from outside comes before the first lease, so it gets no answer.
    """
    recorded = tmp_path / "frames"
    run_bench(verilog(TINY), "tests.system.bench_pair_opening", name="spps_pair", simulator="icarus",
              extra_env={"SPPS_P_FRAMES": str(recorded)})
    sim = Simulation.of(TINY)
    sim.step(1)
    frames = opening(sim)
    assert pickle.loads(recorded.read_bytes()) == frames
    sent = [(side & 1, data) for kind, side, _, _, data, _ in frames if kind is FrameKind.OUT]
    assert sorted((side, parse_arp(data).operation) for side, data in sent if wire.is_announcement(data)) == [
        (side, operation) for side in (0, 1) for operation in (1, 2)]
    syn, request = (data for _, data in sent if not wire.is_announcement(data))
    assert wire.parse_segment(syn).flags == wire.SYN
    assert parse_arp(request).operation == 1


@pytest.mark.parametrize("width", [64])
def test_one_spps_answers_through_its_spi4_pins(width):
    params = preset_params("tiny", width)
    path = write_spps(params, BUILD / "verilog" / f"spps_{params.name}_{width}")
    run_bench(path, "tests.system.bench_spps_spi4", name="spps", simulator="verilator", parameters={"width": width})
