"""`spps` in a process of its own."""

import json
import os
import subprocess
import sys

__all__ = ["Env"]

_EACH = """
import json, os, sys, time
from click.testing import CliRunner
from spps.cli import main
said = []
for arguments in json.load(sys.stdin):
    started = time.monotonic()
    result = CliRunner().invoke(main, arguments, prog_name="spps")
    made = os.path.exists(os.environ["SPPS_BUILD"])
    said.append([result.exit_code, result.output, made, time.monotonic() - started, type(result.exception).__name__])
print(json.dumps(said))
"""
#: makes imports of packages fail, as where an extra is not installed
_WITHOUT = """
import sys
from importlib.abc import MetaPathFinder
class Without(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Without())
"""


class Env:
    """Runs commands with a build folder and a current folder below `folder`.

    missing: names of packages that cannot be imported.
    """

    def __init__(self, folder, missing=()):
        self.here, self.build, self.control = folder / "here", folder / "build", folder / "live.sock"
        self.here.mkdir()
        self.missing = tuple(missing)

    def python(self, code, said=""):
        """The completed process of Python code that runs with this environment."""
        lead = _WITHOUT.format(missing=self.missing) if self.missing else ""
        return subprocess.run(
            [sys.executable, "-c", lead + code],
            input=said,
            cwd=self.here,
            env=os.environ | {"SPPS_BUILD": str(self.build), "SPPS_CONTROL": str(self.control)},
            capture_output=True,
            text=True,
        )

    def run(self, *arguments):
        """The completed process of `spps arguments`."""
        words = [str(argument) for argument in arguments]
        return self.python(f"from spps.cli import main\nmain({words!r}, prog_name='spps')")

    def each(self, commands):
        """Run commands in one process: [exit code, output, build folder exists, seconds, exception] of each."""
        done = self.python(_EACH, json.dumps(commands))
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)
