"""Two units of a bed as one to `spps ctl`: answers put together, a process that does not answer."""
import socket
import threading

import pytest

from spps.tools.errors import ToolError
from spps_sim.live.control import ControlSocket
from spps_sim.live.status import status_text
from spps_sim.live.units import ask, is_bed, unit_path
from tests.live.env_live import Env


class UnitEnv(Env):
    """One of the two units: the other one is elsewhere."""

    def __init__(self, number):
        super().__init__()
        self.number = number
        self.sim.kill(1 - number)
        self.killed = 1 << (1 - number)
        if number == 1:
            self.pair.words["active"] = 0

    def active(self):
        return self.number if self.sim.status()["active"] >> self.number & 1 else None

    def stopped(self):
        return f"unit {1 - self.number} is another process"

    def describe(self):
        return {"pid": 4000 + self.number, "rate": 30000, "margin_ms": 430.0, "late": 2 * self.number, "lost_ms": 75.5,
                "worst_ms": 60.0, "silenced": self.number, "frames_not_sent": 9}


class Bed:
    """The control sockets of units, served by a thread each."""

    def __init__(self, folder, numbers=(0, 1)):
        self.base = folder / "live.sock"
        self.units = {n: UnitEnv(n) for n in numbers}
        self._sockets = {n: ControlSocket(env, unit_path(self.base, n)) for n, env in self.units.items()}
        self._end = threading.Event()

    def __enter__(self):
        for served in self._sockets.values():
            served.__enter__()
        self._threads = [threading.Thread(target=self._serve, args=(n,)) for n in self._sockets]
        for thread in self._threads:
            thread.start()
        return self

    def _serve(self, number):
        while not self._end.wait(0.005):
            self._sockets[number].serve()

    def __exit__(self, *_):
        self._end.set()
        for thread in self._threads:
            thread.join()
        for served in self._sockets.values():
            served.__exit__()


def test_status_of_both_processes_is_one(tmp_path):
    with Bed(tmp_path) as bed:
        status = ask("status", bed.base)
    assert status["running"] == [0, 1] and status["active"] == 0 and status["protection"] == "protected"
    assert status_text(status).splitlines() == [
        "unit 0: active, epoch 1",
        "unit 1: standby, epoch 0, takes records",
        "connections: 0 of 16 in use, 0 of them in a handshake",
        "connections are protected: unit 1 confirms every record",
        "unit 0, process 4000: frames in 0 client side, 0 server side; out 0, 0",
        "unit 0, process 4000: clock: 30000 per second; it lost no time; 430 ms within a lease do no harm",
        "unit 1, process 4001: frames in 0 client side, 0 server side; out 0, 0",
        "unit 1, process 4001: clock: 30000 per second; it lost time 2 times, 75.5 ms in all, 60 ms at most; 430 ms "
        "within a lease do no harm; more than that 1 times, and 9 frames were not sent then",
    ]


def test_a_process_that_is_dead_is_said_so(tmp_path):
    with Bed(tmp_path, (1,)) as bed:
        with socket.socket(socket.AF_UNIX) as left:     # as kill -9 leaves it
            left.bind(str(unit_path(bed.base, 0)))
        bed.units[1].role(2)
        bed.units[1].pair.values[1] |= {"unprotected": 1}
        status = ask("status", bed.base)
        assert status["running"] == [1] and status["active"] == 1 and status["protection"] == "unprotected"
        assert status_text(status).splitlines()[:2] == ["unit 0: dead: no process answers", "unit 1: active, epoch 2"]
        assert list(ask("stats", bed.base)) == ["unit_1"]
    status = ask("status", bed.base)
    assert status["running"] == [] and "no unit runs: connections are lost" in status_text(status)
    with pytest.raises(ToolError, match="no `spps live` answers"):
        ask("get", bed.base, name="lease")


def test_registers_of_both_units_are_read_and_written(tmp_path):
    with Bed(tmp_path) as bed:
        assert list(ask("stats", bed.base)) == ["unit_0", "unit_1"]
        assert ask("set", bed.base, name="announce_count", value=0) == {"register": "announce_count", "units": [0, 1]}
        assert ask("get", bed.base, name="announce_count") == {"register": "announce_count", "unit_0": 0, "unit_1": 0}
        assert ask("connections", bed.base)["unit"] == 0
        assert all((n, "announce_count", 0) in env.pair.written for n, env in bed.units.items())


def test_what_is_not_for_a_bed_is_refused_in_one_line(tmp_path):
    with Bed(tmp_path) as bed:
        with pytest.raises(ToolError, match="kill: not for both units of a bed; ask one: .* --socket .*live-0.sock"):
            ask("kill", bed.base, unit="active")


def test_one_process_says_that_the_other_unit_is_elsewhere(tmp_path):
    with Bed(tmp_path) as bed:
        status = ask("status", unit_path(bed.base, 1))
    assert status_text(status).splitlines()[:2] == [
        "unit 0: elsewhere, in another process", "unit 1: standby, epoch 0, takes records"]


def test_a_pair_in_one_process_is_no_bed(tmp_path):
    base = tmp_path / "live.sock"
    assert not is_bed(base)
    with ControlSocket(Env(), base):
        unit_path(base, 0).touch()
        assert not is_bed(base), "what answers at the socket itself goes first"
