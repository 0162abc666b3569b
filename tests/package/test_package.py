"""The distribution: sdist and wheel hold what they must, and make Verilog when installed in an empty environment."""
import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

from spps.tools.paths import tool_environment

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("spps/top.py", "spps/ucode/programs/proxy.uasm", "spps/lint.vlt", "spps/failover/spps_sync.lua",
          "spps_sim/backend/native/spps_sim.cpp", "spps_sim/trace/templates/report.html.j2", "spps_boards/flow.py")


def run(command, folder, **environment):
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, timeout=900,
                          env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Folder with the sdist and, made from it, the wheel."""
    out = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--outdir", out, ROOT], ROOT)
    return out


@pytest.mark.slow
def test_wheel_and_sdist_hold_the_packages_and_their_data(built):
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    assert set(NEEDED) <= names and not any(name.startswith("tests/") for name in names)
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        inside = {name.split("/", 1)[-1] for name in sdist.getnames()}
    assert {"LICENSE", "README.md", "hdl/spps/top.py", "tests/test_imports.py", "examples/verilog_top/Makefile",
            "constraints.txt"} <= inside


@pytest.mark.slow
def test_the_bare_package_makes_verilog_in_an_empty_environment(built, tmp_path):
    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    python, spps = place / "bin" / "python", place / "bin" / "spps"
    run([python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", next(built.glob("*.whl"))], tmp_path)
    work = tmp_path / "elsewhere"
    work.mkdir()
    run([spps, "verilog", "--preset", "tiny", "--out", "here", "--no-lint"], work)
    assert "module spps(" in (work / "here" / "spps.v").read_text()
    run([python, "-c", "from spps import PRESETS, Spps, SppsPair, SppsParams; Spps(PRESETS['gbe'])"], work)
    run([spps, "asm", ROOT / "hdl/spps/ucode/programs/main.uasm", "-o", "main.hex"], work)
    assert len((work / "main.hex").read_text().split()) > 1000
    refused = subprocess.run([spps, "demo"], cwd=work, capture_output=True, text=True, timeout=60)
    assert refused.returncode and refused.stderr.count("\n") == 1 and "pip install 'spps[sim]'" in refused.stderr


@pytest.mark.slow
def test_fusesoc_takes_the_core_file(tmp_path):
    environment = tool_environment()
    out = subprocess.run(["fusesoc", "--cores-root", ROOT, "run", "--build-root", tmp_path / "build", "--target",
                          "lint", "spps:ip:spps"],
                         cwd=tmp_path, capture_output=True, text=True, timeout=900, env=environment)
    assert out.returncode == 0, out.stdout[-3000:] + out.stderr[-3000:]
    assert "%Warning" not in out.stdout + out.stderr
    assert next((tmp_path / "build").rglob("spps.v")).stat().st_size > 1_000_000
