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


class Pair(FakePair):
    """Notes in order what is asked of it; a stopped unit must not be asked."""

    def __init__(self):
        super().__init__()
        self.asked, self.stopped = [], 0

    def controls(self, kill, freeze, detector, appoint=0, power_up=0):
        self.stopped = kill | freeze
        self.asked.append((kill, freeze, power_up))

    def register(self, unit, address, data=None):
        assert not self.stopped >> unit & 1, f"unit {unit} has stopped"
        self.asked.append((unit, address, data))
        return 0


NAMES = {"cfg_mode": 256, "lease": 36, "role_load": 20, "in_use": 600}
SESSION = {"sync_session": 84, "sync_key_a0": 4352}


def test_a_unit_that_is_switched_on_is_reset_and_gets_its_registers():
    """Those that keep what is written, with the values that were written while it was dead."""
    sim = Simulation(Pair(), NAMES)
    sim.configure({"mode": 1, "lease": (7, 8), "role_load": 1})
    sim.kill(0)
    sim.write(0, "lease", 9)
    sim.write(1, "lease", 9)
    sim.backend.asked.clear()
    sim.revive(0)
    assert sim.backend.asked == [(1, 0, 1), (0, 0, 1), (0, 0, 0), (0, 256, 1), (0, 36, 9)]


def test_a_unit_that_is_switched_on_gets_its_key_and_a_session_of_its_own():
    sim = Simulation(Pair(), NAMES | SESSION)
    sim.configure({"sync_key_a0": 77})
    sim.write(1, "sync_session", 40)
    for unit, session in ((0, 1), (0, 2), (1, 41)):
        sim.kill(unit)
        sim.backend.asked.clear()
        sim.revive(unit)
        assert sorted(sim.backend.asked[3:]) == [(unit, 84, session), (unit, 4352, 77)]


def test_a_frozen_unit_gets_what_was_written_when_it_is_thawed():
    sim = Simulation(Pair(), NAMES)
    sim.write(1, "mode", 1)
    sim.freeze(1)
    sim.write(1, "lease", 9)
    sim.backend.asked.clear()
    for _ in range(2):
        sim.freeze(1, False)
    assert sim.backend.asked == [(0, 0, 0), (1, 36, 9), (0, 0, 0)]
