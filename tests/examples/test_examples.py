"""The examples do what they say."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from spps.tools.paths import tool_environment

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BIN = Path(sys.executable).parent


def run(command, folder, **environment):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=900,
                          env={**tool_environment(), **environment})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_amaranth_design_answers_arp(tmp_path):
    out = run([sys.executable, EXAMPLES / "amaranth_design" / "echo_server.py", "simulate"], tmp_path)
    assert "10.3.0.1 is at 02:00:5e:5d:50:01" in out


@pytest.mark.slow
def test_the_amaranth_design_becomes_verilog(tmp_path):
    run([sys.executable, EXAMPLES / "amaranth_design" / "echo_server.py", "verilog", "echo_server.v"], tmp_path)
    assert "module echo_server(" in (tmp_path / "echo_server.v").read_text()


@pytest.mark.slow
def test_the_verilog_top_answers_arp(tmp_path):
    makeflags = os.environ.get("MAKEFLAGS", "")
    out = run(["make", f"SPPS={BIN / 'spps'}", f"PYTHON={sys.executable}", f"OUT={tmp_path}"], EXAMPLES / "verilog_top",
              MAKEFLAGS=makeflags)
    assert "PASS, ARP reply" in out
