"""FuseSoC generator: the Verilog of one unit and a core file around it. See spps.core."""
import sys
from pathlib import Path

import yaml

from spps import PRESETS
from spps.gen import write_spps


def main(config):
    """Write spps.v and its core file into the current folder; config: what FuseSoC says, a YAML file."""
    asked = yaml.safe_load(Path(config).read_text(encoding="utf-8"))
    preset = asked["parameters"].get("preset", "gbe")
    if preset not in PRESETS:
        sys.exit(f"preset {preset!r} of {asked['vlnv']}: must be one of {', '.join(sorted(PRESETS))}")
    path = write_spps(PRESETS[preset], Path.cwd())
    core = {"name": asked["vlnv"], "filesets": {"rtl": {"files": [path.name], "file_type": "verilogSource"}},
            "targets": {"default": {"filesets": ["rtl"]}}}
    name = asked["vlnv"].split(":")[2]
    Path(f"{name}.core").write_text("CAPI=2:\n" + yaml.safe_dump(core), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
