"""Registers of a Simulation by name."""
import json

from spps_sim.backend.fake import FakePair
from spps_sim.backend.simulation import Simulation, load_registers


def test_registers_have_names_with_and_without_the_prefix_of_configuration(tmp_path):
    path = tmp_path / "registers.json"
    path.write_text(json.dumps({"cfg_mode": 256, "lease": 36}))
    assert load_registers(path) == load_registers({"cfg_mode": 256, "lease": 36})
    sim = Simulation(FakePair(), path)
    sim.configure({"mode": (1, 2), "lease": 7})
    assert [sim.counters(unit) for unit in (0, 1)] == [{"cfg_mode": 1, "lease": 7}, {"cfg_mode": 2, "lease": 7}]
