"""READMEs name files and directories that exist."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
READMES = ["sim/README.md", "sim/spps_sim/peers/README.md", "tests/README.md"]


@pytest.mark.parametrize("readme", READMES)
def test_paths_in_a_readme_exist(readme):
    text = (ROOT / readme).read_text()
    named = re.findall(r"`((?:tests|hdl|sim|boards)/[\w/.]*\w)`", text)
    assert len(named) >= 3
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_directories_of_the_simulation_are_in_its_readme():
    packages = {path.name for path in (ROOT / "sim/spps_sim").iterdir() if (path / "__init__.py").exists()}
    assert packages <= set(re.findall(r"`(\w+)/`", (ROOT / "sim/README.md").read_text()))
