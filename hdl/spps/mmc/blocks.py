"""Which blocks count what: the counters of one SPPS, in the order of the register map."""
from importlib import import_module

__all__ = ["BLOCKS", "block_counters"]

#: (prefix of the registers, package, component)
BLOCKS = (
    ("sink", "spi4", "Spi4Sink"), ("splitter", "splitter", "MessageSplitter"), ("scratchpad", "scratchpad", "Scratchpad"),
    ("events", "events", "EventQueue"), ("lookup", "lookup", "LookupController"), ("timer", "lookup", "TimerUnit"),
    ("director", "director", "FlowDirector"), ("bus", "bus", "MessageBus"), ("cluster", "cluster", "ProtocolCluster"),
    ("socket", "socket", "SocketMemoryController"), ("failover", "failover", "FailoverUnit"),
    ("egress", "egress", "OutputProcessor"), ("source", "spi4", "Spi4Source"),
)


def block_counters():
    """[(prefix, names)] of the blocks that exist and count anything."""
    found = []
    for prefix, package, name in BLOCKS:
        try:
            component = getattr(import_module(f"spps.{package}"), name)
        except (ImportError, AttributeError):
            continue
        names = getattr(component, "COUNTERS", ())
        if names:
            found.append((prefix, tuple(names)))
    return found
