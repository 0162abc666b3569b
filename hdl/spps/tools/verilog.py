"""From an Amaranth component to plain Verilog.

RTLIL goes through a full `proc`, because under Icarus the default back end leaves `always @*` blocks whose outputs
stay X after reset; and through `pmuxtree`, because the functions that Yosys writes for $pmux cells have names that
Icarus takes for system functions.
"""
import hashlib
import os
import re
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Const, Value
from amaranth.hdl._ir import (
    PortDirection,  # not public, but the only way to leave a port out
)
from amaranth.lib.wiring import In

from .paths import BUILD
from .yosys import run_yosys

__all__ = ["component_ports", "to_verilog"]


def component_ports(component):
    """Return the ports of a component for the back end, without the constants of `always_ready` and `always_valid`."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        value = Value.cast(value)
        if not isinstance(value, Const):
            direction = PortDirection.Input if member.flow == In else PortDirection.Output
            ports["__".join(map(str, path))] = (value, direction)
    return ports


def _fold_zeros(text):
    """Replace the word-by-word zeroing of a memory in an `initial` block by a loop, a tenth of the text."""
    def fold(match):
        lines = match[1].splitlines()
        found = [re.fullmatch(r"\s*(\S+ ?)\[(\d+)\] = (\d+)'[hbd]0+;", line) for line in lines]
        parts = [part for part in found if part]
        if len(parts) < max(4, len(lines)) or len({p[1] for p in parts}) != 1 or \
                [int(p[2]) for p in parts] != list(range(len(parts))):
            return match[0]
        name, width = parts[0][1], parts[0][3]
        fold.count += 1
        return (f"  initial begin : zero_{fold.count}\n    integer i;\n"
                f"    for (i = 0; i < {len(parts)}; i = i + 1) {name}[i] = {width}'h0;\n  end\n")
    fold.count = 0
    return re.sub(r"^  initial begin\n((?:    .*\n)+?)  end\n", fold, text, flags=re.M)


def to_verilog(component, name, path=None, *, ports=None, flatten=False):
    """Write plain Verilog of `component` as module `name`; returns the path.

    path: output file, default build/verilog/<name>.v. The file is rewritten only when the text changes.
    """
    path = Path(path) if path else BUILD / "verilog" / f"{name}.v"
    path.parent.mkdir(parents=True, exist_ok=True)
    kwargs = {"ports": component_ports(component) if ports is None else ports}
    text = rtlil.convert(component, name=name, emit_src=False, **kwargs)
    digest = hashlib.sha256((text + str(flatten)).encode()).hexdigest()
    stamp = path.with_suffix(".stamp")
    if path.exists() and stamp.exists() and stamp.read_text() == digest:
        return path
    il = path.with_suffix(f".{os.getpid()}.il")
    il.write_text(text)
    partial = path.with_suffix(f".{os.getpid()}.v")
    run_yosys(f"read_rtlil {il.name}; hierarchy -top {name}; proc; pmuxtree; {'flatten;' if flatten else ''} "
              "memory_collect; opt_clean; setattr -unset generator -unset amaranth.what; "
              f"write_verilog -norename {partial.name}", path.parent)
    path.write_text(_fold_zeros(partial.read_text()))
    partial.unlink()
    stamp.write_text(digest)
    il.unlink()
    return path
