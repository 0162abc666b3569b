"""CHECKLIST.md names, for each of the 63 items, tests that exist."""
import ast
import re
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TABLE = (ROOT / "hdl/spps/ucode/CHECKLIST.md").read_text()
ITEMS = 63


def functions(path):
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def missing(text):
    """Items without a test, and names of tests that do not exist."""
    rows = {int(number): names for number, names in re.findall(r"^\| (\d+)(?: ★)? \|.*\| ([^|]*) \|$", text, re.M)}
    found = [f"item {n}" for n in range(1, ITEMS + 1) if "::" not in rows.get(n, "")]
    for module, name in re.findall(r"`([\w/]+)::(\w+)`", text):
        path = (ROOT if "/" in module else HERE) / f"{module}.py"
        if not path.exists() or name not in functions(path):
            found.append(f"{module}::{name}")
    return found


def test_every_item_has_tests_that_exist():
    assert missing(TABLE) == []


def test_a_missing_item_and_a_missing_test_are_found():
    text = re.sub(r"^\| 17 \|.*\n", "", TABLE, flags=re.M).replace("::test_simultaneous_close`", "::test_no_such_thing`")
    assert missing(text) == ["item 17", "test_checklist_close::test_no_such_thing"]
