"""The blocks of an SPPS that count, in the order of the register map.

Registers, counters and the top are made from this table. It is read while hardware is made and has no latency itself.
"""
from importlib import import_module
from typing import NamedTuple

from amaranth.lib import wiring

__all__ = ["BLOCKS", "Block", "block_counters", "counting_blocks", "register_addresses", "spps_map"]


class Block(NamedTuple):
    """A row: prefix of the registers, package and class of the component, attribute of `Spps` that holds it."""

    prefix: str
    package: str
    component: str
    attribute: str


BLOCKS = (
    Block("sink", "spi4", "Spi4Sink", "sink"),
    Block("admission", "scratchpad", "FrameAdmission", "admission"),
    Block("splitter", "splitter", "MessageSplitter", "splitter"),
    Block("echo", "echo", "EchoResponder", "echo"),
    Block("scratchpad", "scratchpad", "Scratchpad", "scratchpad"),
    Block("events", "events", "EventQueue", "events"),
    Block("lookup", "lookup", "LookupController", "lookup"),
    Block("timer", "lookup", "TimerUnit", "timers"),
    Block("director", "director", "FlowDirector", "director"),
    Block("bus", "bus", "MessageBus", "bus"),
    Block("cluster", "cluster", "ProtocolCluster", "clusters"),      # one per cluster: prefixes cluster_0, ...
    Block("flowstate", "lookup", "FlowstateMemory", "flowstate"),
    Block("socket", "socket", "SocketMemoryController", "socket"),
    Block("failover", "failover", "FailoverUnit", "failover"),
    Block("egress", "egress", "OutputProcessor", "egress"),
    Block("neighbour", "neighbour", "NeighbourTable", "neighbours"),
    Block("announcer", "neighbour", "Announcer", "announcer"),
    Block("source", "spi4", "Spi4Source", "source"),
    Block("dma", "bus", "DmaBus", "dma_bus"),
    Block("instructions", "bus", "InstructionBus", "instruction_bus"),
)


def block_counters(params):
    """[(prefix, Counters)] of the blocks of an SPPS; clusters are numbered."""
    found = []
    for block in BLOCKS:
        component = getattr(import_module(f"spps.{block.package}"), block.component)
        counters = component.counters(params) if hasattr(component, "counters") else component.COUNTERS
        many = block.prefix == "cluster"
        prefixes = [f"{block.prefix}_{n}" for n in range(params.clusters)] if many else [block.prefix]
        found += [(prefix, counters) for prefix in prefixes]
    return found


def counting_blocks(spps):
    """{prefix: component} of the blocks that an `Spps` holds as attributes.

    Raises ValueError naming a block that counts and has no row in BLOCKS, and a row whose block is missing.
    """
    found, rows = {}, {block.attribute: block for block in BLOCKS}
    for attribute, value in vars(spps).items():
        parts = value if isinstance(value, list) else [value]
        counting = [part for part in parts if isinstance(part, wiring.Component) and "count" in part.signature.members]
        if counting and attribute not in rows:
            raise ValueError(f"{attribute}: {type(counting[0]).__name__} counts, but mmc.blocks has no row for it")
        if counting:
            prefix = rows.pop(attribute).prefix
            if isinstance(value, list):
                found.update({f"{prefix}_{n}": part for n, part in enumerate(counting)})
            else:
                found[prefix] = value
    if rows:
        raise ValueError(f"{', '.join(rows)}: in mmc.blocks, but not a block of this SPPS")
    return found


def spps_map(params):
    """Register map of a whole SPPS."""
    from .mmc import Mmc
    from .registers import register_map
    return register_map(params, [("mmc", Mmc.COUNTERS), *block_counters(params)])


def register_addresses(params):
    """{name: byte address} of an SPPS, for the harness."""
    return spps_map(params).addresses()
