"""Sizes of the socket memory under test: from the environment of a bench, or its defaults."""
import os

from spps.params import TINY

__all__ = ["WIDTH", "AXI", "CONNECTIONS", "RING", "params"]

WIDTH = int(os.environ.get("SPPS_P_WIDTH", "64"))
AXI = int(os.environ.get("SPPS_P_AXI", "0"))
CONNECTIONS, RING = 4, 4096


def params(width=WIDTH, axi=AXI):
    """Four small pools: pages of all sizes, and too few for all windows."""
    return TINY.replace(data_width=width, connections=CONNECTIONS, socket_bytes=RING, cores=1,
                        page_bytes=(128, 256, 512, 1024), pool_pages=(56, 40, 17, 16),
                        socket_memory="axi4" if axi else "onchip")
