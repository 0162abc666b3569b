"""MAC addresses of next hops: an ARP cache beside egress. Source: RFC 826, RFC 1122 §2.3.2."""
from .neighbour_table import NeighbourTable
from .signature import NeighbourConfig

__all__ = ["NeighbourConfig", "NeighbourTable"]
