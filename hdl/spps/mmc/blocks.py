"""Which blocks count what: the counters of one SPPS, in the order of the register map."""
from importlib import import_module

__all__ = ["BLOCKS", "block_counters", "spps_map", "register_addresses"]

#: (prefix of the registers, package, component)
BLOCKS = (
    ("sink", "spi4", "Spi4Sink"), ("admission", "scratchpad", "FrameAdmission"),
    ("splitter", "splitter", "MessageSplitter"), ("scratchpad", "scratchpad", "Scratchpad"),
    ("events", "events", "EventQueue"), ("lookup", "lookup", "LookupController"), ("timer", "lookup", "TimerUnit"),
    ("director", "director", "FlowDirector"), ("bus", "bus", "MessageBus"), ("cluster", "cluster", "ProtocolCluster"),
    ("flowstate", "lookup", "FlowstateMemory"),
    ("socket", "socket", "SocketMemoryController"), ("failover", "failover", "FailoverUnit"),
    ("egress", "egress", "OutputProcessor"), ("source", "spi4", "Spi4Source"),
)


def block_counters(params):
    """[(prefix, names)] of the blocks of an SPPS that count anything; clusters are numbered."""
    found = []
    for prefix, package, name in BLOCKS:
        component = getattr(import_module(f"spps.{package}"), name)
        names = component.counters(params) if hasattr(component, "counters") else component.COUNTERS
        prefixes = [f"cluster_{n}" for n in range(params.clusters)] if prefix == "cluster" else [prefix]
        found += [(p, tuple(names)) for p in prefixes]
    return found


def spps_map(params):
    """The register map of a whole SPPS."""
    from .mmc import Mmc
    from .registers import register_map
    return register_map(params, [("mmc", Mmc.COUNTERS), *block_counters(params)])


def register_addresses(params):
    """{name: byte address} of an SPPS, for the harness."""
    return spps_map(params).addresses()
