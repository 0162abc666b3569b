"""The control socket of `spps live` and its client.

A request is one line of JSON, {"command": name, further arguments}; the answer is one line of JSON, {"error": text}
when it failed.
The socket belongs to the user: it is in a folder that only the user may enter.
"""
import inspect
import json
import os
import socket
import stat
import tempfile
import traceback
from pathlib import Path

from spps.tools.errors import ToolError

from ..backend.reprogram import read_image
from .connections import connections_answer
from .metrics import metrics_text
from .registers import LiveRegisters
from .status import read_status
from .switch import switch_over

__all__ = ["ControlSocket", "check_control", "control_path", "request"]

TIMEOUT_S = 120         # a program under traffic takes its time
LINE_LIMIT = 65536      # bytes of a request
KINDS = {int: "a number", str: "a text"}        # types of arguments


def control_path():
    """The socket: $SPPS_CONTROL, else one in $XDG_RUNTIME_DIR/spps, else one in spps-UID of the temporary folder."""
    if chosen := os.environ.get("SPPS_CONTROL"):
        return Path(chosen)
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):
        return Path(runtime) / "spps" / "live.sock"
    return Path(tempfile.gettempdir()) / f"spps-{os.getuid()}" / "live.sock"


def _checked_folder(folder):
    """Refuse a folder in which others may put a socket of theirs; the temporary folder is everybody's."""
    try:
        found = os.lstat(folder)
    except FileNotFoundError:
        return
    if folder.name == f"spps-{os.getuid()}" and (not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid()):
        raise ToolError(f"{folder} belongs to somebody else: set SPPS_CONTROL to a path of your own")


def check_control(path=None):
    """Refuse a place for the control socket where another `spps live` answers, or something else lies. Makes nothing.

    path : Path
        Default `control_path()`. Raises ToolError with one line.
    """
    path = Path(path or control_path())
    _checked_folder(path.parent)
    for folder in path.parents:
        if folder.exists():
            if not folder.is_dir():
                raise ToolError(f"control socket {path}: {folder} is no folder")
            break
    if path.exists() and not path.is_socket():
        raise ToolError(f"control socket {path}: something else lies there; expected a free place or an old socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            answered = probe.connect_ex(str(path)) == 0
        except OSError as error:
            raise ToolError(f"control socket {path}: {error.strerror or error}") from error
    if answered:
        raise ToolError(f"another `spps live` answers at {path}: stop it first")


class ControlSocket:
    """A Unix socket that takes one request per connection; use as a context manager.

    Parameters
    ----------
    testbed : Testbed
        What the commands act on.
    path : Path
        Where it is; default `control_path()`.
    """

    def __init__(self, testbed, path=None):
        self.testbed, self.path = testbed, Path(path or control_path())

    def __enter__(self):
        check_control(self.path)
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._socket.bind(str(self.path))
            self.path.chmod(0o600)
        except OSError as error:
            raise ToolError(f"control socket {self.path}: {error.strerror or error}") from error
        self._socket.listen(4)
        self._socket.setblocking(False)
        return self

    def __exit__(self, *_):
        self._socket.close()
        self.path.unlink(missing_ok=True)

    def serve(self):
        """Answer a waiting command, if any."""
        try:
            peer, _ = self._socket.accept()
        except BlockingIOError:
            return
        with peer:
            peer.settimeout(1)
            try:
                try:
                    answer = self._answer(_line(peer))
                except ToolError as error:
                    answer = {"error": str(error)}
                except Exception as error:      # a defect: the pair and its connections go on
                    traceback.print_exc()
                    answer = {"error": f"defect in `spps live`, which prints where: {type(error).__name__}: {error}"}
                peer.settimeout(TIMEOUT_S)
                peer.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                pass                # the client is gone

    def _answer(self, line):
        try:
            asked = json.loads(line)
            command = asked.pop("command")
            action = getattr(self, f"_do_{command}", None)
        except (ValueError, AttributeError, KeyError, TypeError):
            return {"error": f"request {line[:80]!r}: expected a JSON object with the member command"}
        if action is None:
            return {"error": f"unknown command {command!r}"}
        signature = inspect.signature(action)
        try:
            signature.bind(**asked)
        except TypeError as error:
            return {"error": f"{command}: {error}"}
        for name, value in asked.items():
            kind = signature.parameters[name].annotation
            if type(value) is not kind:
                return {"error": f"{command}: {name}={value!r}: expected {KINDS[kind]}"}
        return action(**asked)

    # commands: arguments have the types that are annotated, one of KINDS

    def _do_status(self):
        return read_status(self.testbed)

    def _do_stats(self):
        return {f"unit_{unit}": values for unit, values in LiveRegisters(self.testbed).stats().items()}

    def _do_kill(self, unit: str):
        number, cycle = self.testbed.kill(unit)
        return {"killed": number, "cycle": cycle}

    def _do_freeze(self, unit: str):
        number, cycle = self.testbed.freeze(unit)
        return {"frozen": number, "cycle": cycle}

    def _do_revive(self, unit: int):
        self.testbed.revive(unit)
        return {"revived": unit, "cycle": self.testbed.sim.cycle}

    def _do_rejoin(self, unit: str):
        number = self.testbed.unit(unit)
        if number == self.testbed.active():
            raise ToolError(f"unit {number} is active: only a standby or a fenced unit joins")
        self.testbed.sim.write(number, "rejoin", 1)
        return {"joining": number, "cycle": self.testbed.sim.cycle}

    def _do_switch(self, force: int):
        return switch_over(self.testbed, force=bool(force))

    def _do_thaw(self):
        return {"thawed": self.testbed.thaw()}

    def _do_reprogram(self, program: str):
        image = read_image(program, self.testbed.params)
        if not self.testbed.running():
            raise ToolError(f"no unit runs: {self.testbed.stopped()}")
        if self.testbed.params.clusters < 2:
            raise ToolError("a unit of one cluster cannot be reprogrammed under traffic: preset duo has two")
        return {"words": len(image.words), **{f"unit_{n}": [swap._asdict() for swap in swaps]
                                              for n, swaps in self.testbed.reprogram(image).items()}}

    def _do_connections(self):
        return connections_answer(self.testbed)

    def _do_set(self, name: str, value: int):
        full, units = LiveRegisters(self.testbed).set(name, value)
        return {"register": full, "units": units}

    def _do_get(self, name: str):
        full, values = LiveRegisters(self.testbed).get(name)
        return {"register": full, **{f"unit_{unit}": value for unit, value in values.items()}}

    def _do_metrics(self):
        return {"text": metrics_text(self.testbed)}


def _line(peer):
    """The bytes up to a newline or the end. Raises OSError when they do not come."""
    line = b""
    while b"\n" not in line and len(line) < LINE_LIMIT and (chunk := peer.recv(4096)):
        line += chunk
    return line.decode(errors="replace").split("\n")[0]


def request(command, path=None, **arguments):
    """Send a command to a running `spps live`; returns its answer.

    Raises ToolError when none runs, or when the command failed.
    """
    path = Path(path or control_path())
    _checked_folder(path.parent)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        try:
            peer.connect(str(path))
        except OSError as error:
            raise ToolError(f"no `spps live` answers at {path}: {error.strerror or error}") from error
        peer.settimeout(TIMEOUT_S)
        answer = b""
        try:
            peer.sendall(json.dumps({"command": command, **arguments}).encode() + b"\n")
            while chunk := peer.recv(65536):
                answer += chunk
        except OSError as error:
            raise ToolError(f"{command}: no answer from `spps live` at {path}: {error}") from error
    if not answer:
        raise ToolError(f"{command}: `spps live` at {path} has stopped")
    answer = json.loads(answer)
    if "error" in answer:
        raise ToolError(answer["error"])
    return answer
