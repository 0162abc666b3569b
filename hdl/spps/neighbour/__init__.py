"""MAC addresses: an ARP cache of next hops beside egress, and announcements of ours.

Source: RFC 826, RFC 1122 §2.3.2, RFC 5227 §3.
"""
from .announcer import Announcer
from .neighbour_table import NeighbourTable
from .signature import AnnounceConfig, NeighbourConfig

__all__ = ["AnnounceConfig", "Announcer", "NeighbourConfig", "NeighbourTable"]
