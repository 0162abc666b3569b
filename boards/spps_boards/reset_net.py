"""The reset of flip-flops on a clock net.

A net with 20,000 loads cannot be routed over the wires between logic; the clock network of ECP5 reaches the LSR input
of every slice. nextpnr puts only clocks on it by itself, so a DCCA (clock gate, always open) is inserted into the
synthesized netlist. Loads that are logic stay on the net they were on: clock nets do not reach LUT inputs. Source:
Lattice ECP5 sysCLOCK usage guide (FPGA-TN-02200), DCC.
"""
import json

__all__ = ["reset_on_clock_net"]


def reset_on_clock_net(path, port="rst"):
    """Reset the flip-flops of a netlist through a clock net, a DCCA behind input `port`. Returns how many there are.

    path: Yosys netlist (JSON, one flat module), rewritten in place; port: the top module's reset.

    Raises ValueError when the top module has no such input or the input resets no flip-flop.
    """
    design = json.loads(path.read_text())
    top = next(m for m in design["modules"].values() if int(m.get("attributes", {}).get("top", "0"), 2))
    if port not in top["ports"]:
        raise ValueError(f"{path}: no input {port!r}, has {', '.join(top['ports'])}")
    net = top["ports"][port]["bits"][0]
    flops = [c for c in top["cells"].values() if c["type"] == "TRELLIS_FF" and c["connections"].get("LSR") == [net]]
    if not flops:
        raise ValueError(f"{path}: input {port!r} resets no flip-flop")
    clock_net = 1 + max(bit for cell in top["cells"].values() for bits in cell["connections"].values()
                        for bit in bits if isinstance(bit, int))
    for cell in flops:
        cell["connections"]["LSR"] = [clock_net]
    directions = {"CLKI": "input", "CE": "input", "CLKO": "output"}
    top["cells"][f"{port}_on_clock_net"] = {
        "hide_name": 0, "type": "DCCA", "parameters": {}, "attributes": {}, "port_directions": directions,
        "connections": {"CLKI": [net], "CE": ["1"], "CLKO": [clock_net]}}
    top["netnames"][f"{port}_on_clock_net"] = {"hide_name": 0, "bits": [clock_net], "attributes": {}}
    path.write_text(json.dumps(design))
    return len(flops)
