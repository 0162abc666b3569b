"""CHECKLIST.md names, for each of the 83 items, tests that exist."""
import ast
import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TABLE = (ROOT / "hdl/spps/ucode/CHECKLIST.md").read_text()
ITEMS = 83


@cache
def functions(path):
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def missing(text):
    """Items without a test against the model or against Linux, and names of tests that do not exist."""
    rows = {int(number): (model, linux) for number, model, linux in
            re.findall(r"^\| (\d+)(?: ★)? \|.*\| ([^|]*) \| ([^|]*) \|$", text, re.M)}
    found = []
    for item in range(1, ITEMS + 1):
        model, linux = rows.get(item, ("", ""))
        if "::" not in model:
            found.append(f"item {item}")
        if "::" not in linux:
            found.append(f"item {item} against Linux")
    for module, name in re.findall(r"`([\w/]+)::(\w+)`", text):
        module = re.sub(r"^linux/", "tests/linux/test_linux_", module)
        path = (ROOT if "/" in module else HERE) / f"{module}.py"
        if not path.exists() or name not in functions(path):
            found.append(f"{module}::{name}")
    return found


def test_every_item_has_tests_that_exist():
    assert missing(TABLE) == []


def test_a_missing_item_and_a_missing_test_are_found():
    text = re.sub(r"^\| 17 \|.*\n", "", TABLE, flags=re.M)
    text = text.replace("::test_simultaneous_close`", "::test_no_such_thing`")
    text = text.replace("`linux/loss::test_resent_segments_are_not_measured`", "")
    assert missing(text) == ["item 17", "item 17 against Linux", "item 47 against Linux",
                             "test_checklist_close::test_no_such_thing",
                             "tests/linux/test_linux_close::test_no_such_thing"]
