"""How a test is run again and where its waveforms go: SPPS_SEED, SPPS_SIM and SPPS_WAVES."""
import atexit
import os
import re
import shlex
import sys
from pathlib import Path

from spps.tools.paths import BUILD

__all__ = ["default_seed", "python_command", "replay_command", "trace_run", "waves_wanted"]


def default_seed() -> int:
    """Return the seed of this run: SPPS_SEED, or 1."""
    return int(os.environ.get("SPPS_SEED", "1"))


def waves_wanted() -> bool:
    """Return whether SPPS_WAVES asks for waveforms."""
    return os.environ.get("SPPS_WAVES", "") not in ("", "0")


def python_command() -> str:
    """Return the interpreter of this process as called from the current directory, e.g. `.venv/bin/python`."""
    here = Path(sys.executable)
    return shlex.quote(str(here.relative_to(Path.cwd()))) if here.is_relative_to(Path.cwd()) else "python"


def _node():
    """Return the node id of the test that runs, or None outside of pytest."""
    current = os.environ.get("PYTEST_CURRENT_TEST")
    return current.rsplit(" (", 1)[0] if current else None


def replay_command(seed=None, simulator=None) -> str:
    """Return the command that runs the test of this process again, alone and with waveforms.

    It is to be called in the root of the checkout.

    Parameters
    ----------
    seed : int, optional
        Value for SPPS_SEED.
    simulator : str, optional
        Value for SPPS_SIM: "icarus" or "verilator".
    """
    settings = {"SPPS_SEED": seed, "SPPS_SIM": simulator, "SPPS_WAVES": 1}
    words = [f"{name}={value}" for name, value in settings.items() if value is not None]
    return " ".join([*words, python_command(), "-m pytest -n 0", shlex.quote(_node() or "tests")])


def trace_run(sim) -> "Path | None":
    """Record a waveform of a native simulation from now to the end of the process, if SPPS_WAVES asks for it.

    Parameters
    ----------
    sim : Simulation
        Its library must have been built with a trace.

    Returns
    -------
    Path or None
        The file, build/native/<test>/waves.fst or .vcd; with a number when the test has several simulations.
    """
    from ..backend.verilated import trace_kind
    if not waves_wanted():
        return None
    folder = BUILD / "native" / re.sub(r"[^\w.-]+", "_", _node() or "run")
    folder.mkdir(parents=True, exist_ok=True)
    kind = trace_kind()
    taken = _traced.setdefault(folder, [])
    path = folder / f"waves{f'_{len(taken)}' if taken else ''}.{kind}"
    taken.append(path)
    sim.trace(path)
    atexit.register(sim.trace_close)
    print(f"waves: {path}")
    return path


_traced: "dict[Path, list[Path]]" = {}
