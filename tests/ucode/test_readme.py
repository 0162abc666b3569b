"""Numbers and files in the READMEs of microcode and cluster are those of the tree."""
import re
from pathlib import Path

import pytest

from spps.ucode.programs import MAIN, default_image
from spps_sim.measure import events

ROOT = Path(__file__).parents[2]
UCODE, CLUSTER = (ROOT / f"hdl/spps/{name}/README.md" for name in ("ucode", "cluster"))


def numbers(pattern, text):
    """The groups of the one place where the pattern matches."""
    found, = re.findall(pattern, text)
    return [int(number) for number in found]


def test_program_sizes():
    assert numbers(r"It has (\d+) words, with CUBIC (\d+)\.", UCODE.read_text()) == [
        len(default_image().words), len(default_image(("CUBIC",)).words)]


def test_clocks_per_segment():
    fast, general = events.measure(), events.measure(defines=("NO_FAST",))
    for name in fast:
        found = numbers(rf"\| `{name}`.*\| (\d+) \| (\d+) \|", UCODE.read_text())
        assert found == [round(fast[name]), round(general[name])], name


def test_every_file_of_the_program_is_described():
    text = UCODE.read_text()
    assert {path.name for path in MAIN.parent.glob("*.uasm")} == set(re.findall(r"`(\w+\.uasm)`", text))
    assert ({path.name for path in UCODE.parent.glob("*.py")} - {"__init__.py", "__main__.py"}
            <= set(re.findall(r"`(\w+\.py)`", text)))


@pytest.mark.parametrize("readme", [UCODE, CLUSTER], ids=["ucode", "cluster"])
def test_every_test_that_is_named_exists(readme):
    tests = {path for folder in ("ucode", "cluster", "linux") for path in (ROOT / "tests" / folder).glob("*.py")}
    functions = {name for path in tests for name in re.findall(r"def (\w+)\(", path.read_text())}
    text = readme.read_text()
    assert set(re.findall(r"\b(test_\w+)\.py", text)) <= {path.stem for path in tests}
    assert set(re.findall(r"`(test_\w+)`", text)) <= functions
    if readme is CLUSTER:
        plan = text[text.index("## Test plan"):]
        named = set(re.findall(r"`(\w{12,})`", plan)) - {"busy_cycles"}
        assert named and named <= functions
