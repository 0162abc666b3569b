"""Static timing of a routed design: the slowest path that ends in each block, from the delays in nextpnr's SDF file.

nextpnr's own report has one path of the whole, and so no figure of a block that this path does not touch.
"""
import re
from bisect import bisect_right
from collections import Counter, defaultdict
from typing import NamedTuple

__all__ = ["Path", "Timing", "read_sdf", "slowest_paths", "blocks_of_cells"]

_CLOCKS = frozenset({"CLK", "CLKA", "CLKB", "WCK"})
#: what nextpnr appends to the name of a distributed RAM that it takes apart
_PACKED = re.compile(r"\$(DPRAM_COMB|RAMW)\d*.*$")


class Path(NamedTuple):
    """The slowest path to one of a set of registers: picoseconds from clock to clock, first and last cell."""

    picoseconds: int
    start: str
    end: str

    @property
    def mhz(self):
        """Frequency at which the path takes one clock."""
        return 1e6 / self.picoseconds


class Timing(NamedTuple):
    """Delays of a routed design in picoseconds, worst case. Pins are named cell.pin.

    arcs: pin -> [(pin, delay)], wires and logic; starts: output of a register -> delay from the clock; ends: input of a
    register -> setup time.
    """

    arcs: dict
    starts: dict
    ends: dict


def _worst(*triples):
    """Return the largest of (minimum:typical:maximum), rising and falling."""
    return max(int(value) for triple in triples for value in triple.strip("()").split(":"))


def read_sdf(path):
    """Return the Timing in a file that nextpnr wrote with --sdf-cvc, which has one statement per line."""
    arcs, starts, ends, instance = defaultdict(list), defaultdict(int), defaultdict(int), ""
    with open(path) as file:
        for line in file:
            words = re.sub(r"\\(.)", r"\1", line).split()
            match words:
                case ["(INSTANCE", name]:
                    instance = name.removesuffix(")")
                case ["(INTERCONNECT", source, sink, rise, fall]:
                    arcs[source].append((sink, _worst(rise, fall)))
                case ["(IOPATH", source, sink, rise, fall] if source in _CLOCKS:
                    pin = f"{instance}.{sink}"
                    starts[pin] = max(starts[pin], _worst(rise, fall))
                case ["(IOPATH", source, sink, rise, fall]:
                    arcs[f"{instance}.{source}"].append((f"{instance}.{sink}", _worst(rise, fall)))
                case ["(SETUPHOLD", _, pin, _, _, setup, _]:
                    pin = f"{instance}.{pin.removesuffix(')')}"
                    ends[pin] = max(ends[pin], _worst(setup))
    return Timing(dict(arcs), dict(starts), dict(ends))


def _arrivals(timing):
    """Return {pin: (latest arrival, pin before it or None)} behind registers. Raises ValueError for a loop of gates."""
    waiting, seen, stack = Counter(), set(timing.starts), list(timing.starts)
    while stack:
        for sink, _ in timing.arcs.get(stack.pop(), ()):
            waiting[sink] += 1
            if sink not in seen:
                seen.add(sink)
                stack.append(sink)
    latest = {pin: (delay, None) for pin, delay in timing.starts.items()}
    ready, done = [pin for pin in timing.starts if not waiting[pin]], 0
    while ready:
        pin = ready.pop()
        done += 1
        for sink, delay in timing.arcs.get(pin, ()):
            arrival = latest[pin][0] + delay
            if arrival > latest.get(sink, (-1, None))[0]:
                latest[sink] = arrival, pin
            waiting[sink] -= 1
            if not waiting[sink]:
                ready.append(sink)
    if done != len(seen):
        raise ValueError(f"{len(seen) - done} pins on or behind a loop of gates: must be none")
    return latest


def slowest_paths(timing, group):
    """Return {group(last cell): Path}; cells of group None are left out. Raises ValueError for a loop of gates."""
    latest, worst = _arrivals(timing), {}
    for pin, setup in timing.ends.items():
        name = group(pin.rpartition(".")[0])
        if name is None or pin not in latest:
            continue
        total = latest[pin][0] + setup
        if total > worst.get(name, (-1, None))[0]:
            worst[name] = total, pin
    paths = {}
    for name, (total, pin) in worst.items():
        start = pin
        while (before := latest[start][1]) is not None:
            start = before
        paths[name] = Path(total, start.rpartition(".")[0], pin.rpartition(".")[0])
    return paths


def blocks_of_cells(cells, verilog, source, top):
    """Return a function from the name of a cell of the flat netlist to its block.

    A block is the submodule of module `top` in whose Verilog the cell was written, "(glue)" for `top` itself, else
    None. Flattening may name a cell after a wire of another block, so the line of the source decides; memories have
    no line, but a name that begins with that of their block.

    cells: cells of the netlist by name; verilog: text of the file `source`, whose lines the netlist's attributes name.
    """
    firsts, modules = zip(*((verilog.count("\n", 0, found.start()) + 1, found[1])
                            for found in re.finditer(r"^module\s+\\?(\S+?)\s*\(", verilog, re.M)), strict=True)
    line = re.compile(re.escape(source) + r":(\d+)")
    named = re.compile(rf"(?:^|\.){re.escape(top)}\.([^.]+)\.")

    def block(cell):
        name = _PACKED.sub("", cell)
        written = line.search(cells.get(name, {}).get("attributes", {}).get("src", ""))
        if not written:
            found = named.search(name)
            return found[1] if found else None
        module = modules[bisect_right(firsts, int(written[1])) - 1]
        if module == top:
            return "(glue)"
        return module.removeprefix(f"{top}.").split(".")[0] if module.startswith(f"{top}.") else None

    return block
