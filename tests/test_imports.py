"""The layers: spps imports neither spps_sim nor spps_boards; a directory of spps_sim imports only those below it."""
import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = {"spps": ROOT / "hdl", "spps_sim": ROOT / "sim", "spps_boards": ROOT / "boards"}
ALLOWED = {"spps": {"spps"}, "spps_sim": {"spps", "spps_sim"}, "spps_boards": {"spps", "spps_boards"}}
#: directories of spps_sim from the lowest on; one imports only itself and those before it
ORDER = ("backend", "checker", "peers", "network", "model", "trace", "testbench", "campaign", "measure", "demo",
         "compare", "live", "cli")


def modules(package):
    """(name, path) of every module of a package."""
    root = SOURCES[package]
    for path in sorted((root / package).rglob("*.py")):
        yield ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"), path


def imported(name, path):
    """Full names of what a module imports, wherever in it."""
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[:len(package) - node.level + 1] if node.level else []
            for alias in node.names:
                yield ".".join([*base, *([node.module] if node.module else []), alias.name])


@pytest.mark.parametrize("package", SOURCES)
def test_packages_import_only_what_their_layer_may(package):
    found = [(name, target) for name, path in modules(package)
             for target in imported(name, path) if target.split(".")[0] in SOURCES]
    assert found, "the walk finds imports"
    wrong = [f"{name} imports {target}" for name, target in found if target.split(".")[0] not in ALLOWED[package]]
    assert not wrong, "\n".join(wrong)


def test_every_directory_of_the_simulation_has_its_place():
    names = {path.name for path in (SOURCES["spps_sim"] / "spps_sim").iterdir() if (path / "__init__.py").exists()}
    assert names == set(ORDER)


def test_directories_of_the_simulation_import_only_those_below():
    wrong = []
    for name, path in modules("spps_sim"):
        parts = name.split(".")
        if len(parts) < 2:
            continue
        for target in imported(name, path):
            other = target.split(".")
            if other[0] == "spps_sim" and len(other) > 1 and ORDER.index(other[1]) > ORDER.index(parts[1]):
                wrong.append(f"{name} imports {target}")
    assert not wrong, "\n".join(wrong)


def test_the_public_names_are_there():
    import spps
    assert spps.Spps.__name__ == "Spps" and spps.SppsPair.__name__ == "SppsPair"
    assert isinstance(spps.PRESETS["tiny"], spps.SppsParams)
    assert spps.register_addresses(spps.PRESETS["tiny"])["ident"] == 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        spps.nothing  # noqa: B018


def test_a_forbidden_import_is_found(tmp_path):
    path = tmp_path / "module.py"
    path.write_text("def f():\n    from spps_sim.backend import interface\n    from ..model import lookup\n")
    assert list(imported("spps.tools.module", path)) == ["spps_sim.backend.interface", "spps.model.lookup"]


def test_the_version_is_said_once():
    import re
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.M)[1]
    assert re.search(r"^name: spps:ip:spps:(.*)$", (ROOT / "spps.core").read_text(), re.M)[1] == version
    assert re.findall(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.M)[0] == version


def test_a_preset_by_name_is_refused_with_the_right_one():
    from spps import Spps
    with pytest.raises(TypeError, match="must be SppsParams"):
        Spps("gbe")
