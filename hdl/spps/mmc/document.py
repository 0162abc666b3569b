"""The register map as a document and as a table of addresses: REGISTERS.md and registers.json."""
import json

from .blocks import spps_map

__all__ = ["registers_json", "registers_markdown"]


def registers_markdown(params):
    """The registers of one unit with `params`, as Markdown."""
    return (f"# Registers of one SPPS ({params.name})\n\nMade by `spps registers` from `mmc/registers.py`; do not edit. "
            "All registers have 32 bits; addresses count bytes. Any write clears a counter. An address without a register reads "
            "0xDEADBEEF and counts in `mmc_bad_address`.\n\n" + spps_map(params).markdown())


def registers_json(params):
    """{name: byte address} of one unit with `params`, as JSON."""
    return json.dumps(spps_map(params).addresses(), indent=1) + "\n"
