"""`python -m spps.mmc`: writes the documentation of the register map and the table of names for the harness."""
import json
import sys
from pathlib import Path

from ..params import PRESETS, TINY
from .blocks import spps_map

HERE = Path(__file__).resolve().parent


def main(arguments):
    """Optional argument: name of a preset (default tiny). Returns an exit code."""
    params = PRESETS.get(arguments[0]) if arguments else TINY
    if params is None:
        print(f"preset {arguments[0]!r}: must be one of {', '.join(PRESETS)}", file=sys.stderr)
        return 2
    regs = spps_map(params)
    title = (f"# Registers of one SPPS ({params.name})\n\nMade by `python -m spps.mmc` from `mmc/registers.py`; do not edit. "
             "All registers have 32 bits; addresses count bytes. Any write clears a counter. An address without a register reads "
             "0xDEADBEEF and counts in `mmc_bad_address`.\n\n")
    (HERE / "REGISTERS.md").write_text(title + regs.markdown())
    (HERE / "registers.json").write_text(json.dumps(regs.addresses(), indent=1) + "\n")
    print(f"{len(regs.by_address)} registers")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
