"""The register map for people and for programs: Markdown, JSON, headers for C and Verilog."""
import json

from .blocks import spps_map

__all__ = ["registers_c", "registers_json", "registers_markdown", "registers_verilog"]


def registers_markdown(params):
    """The registers of one unit with `params`, as Markdown."""
    return (f"# Registers of one SPPS ({params.name})\n\n"
            "Made by `spps registers` from `mmc/registers.py`; do not edit. "
            "All registers have 32 bits; addresses count bytes. Any write clears a counter. "
            "An address without a register reads 0xDEADBEEF and counts in `mmc_bad_address`.\n\n"
            + spps_map(params).markdown())


def registers_json(params):
    """{name: byte address} of one unit with `params`, as JSON."""
    return json.dumps(spps_map(params).addresses(), indent=1) + "\n"


def registers_c(params):
    """A C header: SPPS_<NAME> is the byte address of each register of one unit with `params`."""
    lines = [f"/* Registers of one SPPS ({params.name}), byte addresses; made by spps registers. */"]
    lines += [f"#define SPPS_{name.upper()} 0x{address:04X}u"
              for name, address in spps_map(params).addresses().items()]
    return "\n".join(lines) + "\n"


def registers_verilog(params):
    """A Verilog header: `SPPS_<NAME> is the byte address of each register of one unit with `params`, 16 bits."""
    lines = [f"// Registers of one SPPS ({params.name}), byte addresses; made by spps registers."]
    lines += [f"`define SPPS_{name.upper()} 16'h{address:04X}"
              for name, address in spps_map(params).addresses().items()]
    return "\n".join(lines) + "\n"
