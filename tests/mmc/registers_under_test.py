"""The map that the benches of MMC use."""
from spps.mmc import Mmc, register_map
from spps.params import TINY

BLOCKS = [("wide", tuple(f"reason_{k}" for k in range(40))), ("narrow", ("only",))]


def build():
    return register_map(TINY, [("mmc", Mmc.COUNTERS), *BLOCKS])
