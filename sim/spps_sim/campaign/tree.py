"""Which sources a campaign has run: a digest, and the commit in words."""
import hashlib
import subprocess
from importlib.util import find_spec
from pathlib import Path

from spps.tools.paths import checkout

__all__ = ["sources_digest", "tree_name"]

#: folders and modules on which no result depends
ASIDE = {"cli", "live", "compare", "demo", "measure", "page.py", "plots.py", "summary.py", "crossed.py", "pool.py",
         "store.py", "tree.py", "replay.py"}


def sources_digest(preset):
    """Return a digest of everything that a result depends on: RTL, microcode, simulation, peers, campaign."""
    digest = hashlib.sha256(preset.encode())
    for package in ("spps", "spps_sim"):
        spec = find_spec(package)
        assert spec is not None and spec.submodule_search_locations
        root = Path(spec.submodule_search_locations[0]).resolve()
        for path in sorted(p for p in root.rglob("*") if p.suffix in (".py", ".uasm", ".cpp")):
            if ASIDE.isdisjoint(path.relative_to(root).parts):
                digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def tree_name():
    """Return the commit of the checkout, with "-dirty" where it is not all that there is; the version without one."""
    root = checkout()
    if root is not None:
        done = subprocess.run(["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"], cwd=root,
                              capture_output=True, text=True)
        if done.returncode == 0:
            return done.stdout.strip()
    from importlib.metadata import version
    return f"version {version('spps')}"
