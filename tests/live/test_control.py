"""The control socket and the commands of `spps ctl` that use it."""

import inspect
import json
import os
import socket
import threading

import pytest
from click.testing import CliRunner

from spps.cli import main
from spps.params import DUO
from spps.tools.errors import ToolError
from spps_sim.live.control import KINDS, ControlSocket, control_path, request
from tests.live.env_live import Env
from tests.live.test_connections import flowstate

COMMANDS = ("status", "stats", "kill", "revive", "freeze", "thaw", "rejoin", "reprogram", "connections", "set", "get",
            "metrics", "switch")


class Served:
    """A control socket that is served by another thread; `ctl` runs the command line against it."""

    def __init__(self, env, path):
        self.env, self.path = env, path
        self._over = threading.Event()

    def __enter__(self):
        self._socket = ControlSocket(self.env, self.path).__enter__()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()
        self._socket.__exit__()

    def _serve(self):
        while not self._over.wait(0.005):
            self._socket.serve()

    def ctl(self, *words):
        return CliRunner().invoke(main, ["ctl", "--socket", str(self.path), *words])

    def json(self, *words):
        result = self.ctl(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.output)


@pytest.fixture
def served(tmp_path):
    with Served(Env(), tmp_path / "live.sock") as running:
        yield running


@pytest.mark.parametrize("command", ((), *((name,) for name in COMMANDS)))
def test_help_of_every_command(command):
    result = CliRunner().invoke(main, ["ctl", *command, "--help"])
    assert result.exit_code == 0 and "Usage: " in result.output


def test_status_in_words_and_as_json(served):
    result = served.ctl("status")
    assert (
        result.exit_code == 0
        and "unit 0: active, epoch 1" in result.output
        and "connections are protected" in result.output
    )
    assert served.json("status")["active"] == 0


def test_units_are_stopped_by_name(served):
    assert served.json("freeze", "standby")["frozen"] == 1
    assert "unit 1 runs again" in served.ctl("thaw").output and "no unit was frozen" in served.ctl("thaw").output
    assert "unit 0 killed at cycle" in served.ctl("kill", "active").output
    again = served.ctl("kill", "0")
    assert again.exit_code == 1 and again.output == "Error: unit 0 is killed\n"


def test_with_both_units_dead_status_and_stats_say_so_and_fail(served):
    served.ctl("kill", "0")
    served.ctl("kill", "1")
    status, stats = served.ctl("status"), served.ctl("stats")
    assert (
        status.exit_code == 1
        and "unit 0: killed\nunit 1: killed\nno unit runs: connections are lost" in status.output
    )
    assert stats.exit_code == 1 and stats.output == "Error: no unit runs: unit 0 is killed, unit 1 is killed\n"
    as_json = served.ctl("status", "--json")
    assert as_json.exit_code == 1 and json.loads(as_json.output)["running"] == []


def test_registers_are_written_and_read(served):
    assert served.ctl("set", "lease", "0x10").output == "lease written in unit 0 and 1\n"
    assert served.ctl("get", "lease").output == "unit 0: 16\nunit 1: 16\n"
    assert served.json("get", "lease") == {"register": "lease", "unit_0": 16, "unit_1": 16}
    served.ctl("set", "vip_1", "10.77.2.254")
    assert served.json("get", "vip_1")["unit_1"] == 0x0A4D02FE
    refused = served.ctl("set", "leese", "1")
    assert refused.exit_code == 1 and refused.output == "Error: no register 'leese'; similar: lease\n"


def test_stats_hide_keys(served):
    served.env.pair.values[0]["secret_0"] = 12648430
    output = served.ctl("stats").output
    (row,) = (line for line in output.splitlines() if line.startswith("secret_0 "))
    assert row.split() == ["secret_0", "hidden", "hidden"] and "12648430" not in output
    assert served.json("stats")["unit_0"]["cfg_secret"] == "hidden"


def test_connections_and_metrics(served):
    served.env.pair.flowstates = {5: flowstate()}
    assert "10.77.1.2:40000 > 10.77.1.1:80" in served.ctl("connections").output
    assert served.json("connections")["connections"][0]["client"]["state"] == "ESTABLISHED"
    assert 'spps_up{unit="0"} 1.0' in served.ctl("metrics").output


@pytest.mark.parametrize(
    "words, message",
    (
        (("kill",), "Missing argument"),
        (("kill", "both"), "'both' is not one of"),
        (("freeze", "2"), "'2' is not one of"),
        (("set", "lease"), "Missing argument"),
        (("set", "lease", "soon"), "'soon': expected a number from 0 to 4294967295"),
        (("set", "lease", "4294967296"), "expected a number"),
        (("set", "gateway_0", "10.0.0"), "or an IPv4 address"),
        (("set", "gateway_0", "10.0.0.256"), "or an IPv4 address"),
        (("set", "gateway_0", "010.0.0.1"), "or an IPv4 address"),
        (("dance",), "No such command 'dance'"),
        (("reprogram", "/nonexistent"), "/nonexistent: no such file; expected a microcode source"),
        (("reprogram", "/"), "/: is a folder"),
    ),
)
def test_arguments_are_checked_before_anything_is_sent(tmp_path, words, message):
    result = CliRunner().invoke(main, ["ctl", "--socket", str(tmp_path / "none"), *words])
    assert result.exit_code == 2 and message in result.output and "answers" not in result.output


def test_errors_of_a_program_are_said_before_anything_is_sent(tmp_path):
    (tmp_path / "odd.uasm").write_text("main: dance r1\n")
    result = CliRunner().invoke(
        main, ["ctl", "--socket", str(tmp_path / "none"), "reprogram", str(tmp_path / "odd.uasm")]
    )
    assert result.exit_code == 1 and "odd.uasm:1" in result.output and "answers" not in result.output


def test_a_unit_of_one_cluster_is_not_reprogrammed(served):
    result = served.ctl("reprogram", "default")
    assert result.exit_code == 1 and "preset duo" in result.output


def test_a_program_from_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "end.uasm").write_text("main: eoe r0, r0\n")
    with Served(Env(DUO), tmp_path / "live.sock") as running:
        output = running.ctl("reprogram", "end.uasm").output
        assert output.startswith("1 words\n") and "unit 1 cluster 1: no events from cycle" in output


@pytest.mark.parametrize(
    "line, answer",
    (
        (b'{"command": "thaw"}', {"thawed": []}),
        (b'{"command": "thaw"}\n', {"thawed": []}),
        (b"\xff\xfe\n", "expected a JSON object"),
        (b"", "expected a JSON object"),
        (b"[1]", "expected a JSON object"),
        (b'{"command": "set", "name": "lease", "value": "x"}', "set: value='x': expected a number"),
        (b'{"command": "set", "name": "lease", "value": true}', "set: value=True: expected a number"),
        (b'{"command": "kill", "unit": []}', "kill: unit=[]: expected a text"),
        (b'{"command": "reprogram", "program": 5}', "reprogram: program=5: expected a text"),
        (b'{"command": "dance"}', "unknown command 'dance'"),
        (b'{"command": "kill"}', "missing a required argument"),
        (b'{"command": "kill", "unit": "all"}', "unit 'all': must be active"),
        (b'{"command": ["a"]}', "unknown command"),
    ),
)
def test_the_socket_answers_every_line_with_json(tmp_path, line, answer):
    with ControlSocket(Env(), tmp_path / "live.sock") as control:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(str(control.path))
            peer.sendall(line)
            peer.shutdown(socket.SHUT_WR)
            control.serve()
            said = json.loads(peer.makefile().read())
        assert said == answer if isinstance(answer, dict) else answer in said["error"]
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
            peer.connect(str(control.path))
            peer.sendall(b'{"command": "status"}')
        control.serve()  # the client is gone: no harm
    assert not control.path.exists()


@pytest.mark.parametrize("name", [name for name in vars(ControlSocket) if name.startswith("_do_")])
def test_every_argument_of_a_command_has_a_type(name):
    _, *arguments = inspect.signature(getattr(ControlSocket, name)).parameters.values()
    assert name[4:] in COMMANDS and all(argument.annotation in KINDS for argument in arguments)


def test_a_defect_of_a_command_is_answered_and_the_pair_goes_on(served, monkeypatch, capsys):
    def broken(testbed):
        return {}["absent"]

    with monkeypatch.context() as defect:
        defect.setattr("spps_sim.live.control.read_status", broken)
        with pytest.raises(ToolError) as refused:
            request("status", served.path)
    assert str(refused.value) == "defect in `spps live`, which prints where: KeyError: 'absent'"
    assert "in broken" in capsys.readouterr().err, "the traceback is printed where the pair runs"
    assert served.json("status")["active"] == 0


def test_a_second_live_is_refused(tmp_path):
    with Served(Env(), tmp_path / "live.sock"):
        with pytest.raises(ToolError, match="another `spps live` answers at .*live.sock: stop it first"):
            ControlSocket(Env(), tmp_path / "live.sock").__enter__()
    with ControlSocket(Env(), tmp_path / "live.sock") as control:
        assert os.stat(control.path).st_mode & 0o077 == 0, "nobody else may command it"


def test_a_socket_left_by_a_killed_process_is_replaced(tmp_path):
    path = tmp_path / "live.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(path))
    with pytest.raises(ToolError, match="no `spps live` answers at .*live.sock: Connection refused"):
        request("status", path)
    with ControlSocket(Env(), path):
        assert path.exists()


def test_where_the_socket_is(tmp_path, monkeypatch):
    for name in ("SPPS_CONTROL", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert control_path() == tmp_path / f"spps-{os.getuid()}" / "live.sock"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "absent"))
    assert control_path().parent.name == f"spps-{os.getuid()}"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert control_path() == tmp_path / "spps" / "live.sock"
    monkeypatch.setenv("SPPS_CONTROL", str(tmp_path / "mine"))
    assert control_path() == tmp_path / "mine"


def test_a_folder_of_somebody_else_is_not_trusted(tmp_path, lacking):
    if os.getuid():
        lacking("giving a folder away needs root")
    folder = tmp_path / f"spps-{os.getuid()}"
    folder.mkdir(mode=0o777)
    os.chown(folder, 12345, 12345)
    for use in (
        lambda: request("status", folder / "live.sock"),
        ControlSocket(Env(), folder / "live.sock").__enter__,
    ):
        with pytest.raises(ToolError, match="belongs to somebody else"):
            use()
