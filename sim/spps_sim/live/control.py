"""The control socket of `spps live` and its client."""
import json
import os
import socket
from pathlib import Path

from spps.tools.paths import BUILD

from ..backend.reprogram import read_image

__all__ = ["CONTROL_PATH", "ControlSocket", "control"]

CONTROL_PATH = BUILD / "live" / "control.sock"


class ControlSocket:
    """A Unix socket that takes one command line per connection and answers with one JSON line."""

    def __init__(self, testbed, path=CONTROL_PATH):
        self.testbed, self.path = testbed, Path(path)

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            if probe.connect_ex(str(self.path)) == 0:
                raise RuntimeError(f"another `spps live` answers at {os.path.relpath(self.path)}: stop it first")
        self.path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self.path))
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
                    answer = self._answer(peer.recv(4096).decode(errors="replace").split())
                except (RuntimeError, ValueError) as error:
                    answer = {"error": str(error)}
                peer.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                pass                # who asked is gone

    def _answer(self, words):
        testbed = self.testbed
        match words:
            case ["status"]:
                return testbed.status()
            case ["stats"]:
                return {f"unit_{n}": testbed.sim.counters(n) for n in (0, 1) if not (testbed.killed | testbed.frozen) >> n & 1}
            case ["kill", "active"]:
                unit, cycle = testbed.kill_active()
                return {"killed": unit, "cycle": cycle}
            case ["freeze", "active"]:
                unit, cycle = testbed.freeze_active()
                return {"frozen": unit, "cycle": cycle}
            case ["thaw"]:
                return {"thawed": testbed.thaw()}
            case ["reprogram", name]:
                image = read_image(name, testbed.params.imem_words)
                return {"words": len(image.words), **{f"unit_{n}": [swap._asdict() for swap in swaps]
                                                      for n, swaps in testbed.reprogram(image).items()}}
        return {"error": f"unknown command {' '.join(words)!r}: expected status, stats, kill active, freeze active, thaw, "
                         "reprogram FILE or reprogram default"}


def control(words, path=CONTROL_PATH):
    """Send a command to a running `spps live`; returns its answer. Raises ConnectionError when none runs."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as peer:
        try:
            peer.connect(str(path))
        except OSError as error:
            raise ConnectionError(f"no `spps live` answers at {os.path.relpath(path)}: {error.strerror}") from error
        peer.settimeout(120)        # a program under traffic takes its time
        peer.sendall(" ".join(words).encode())
        answer = b""
        while chunk := peer.recv(65536):
            answer += chunk
    return json.loads(answer)
