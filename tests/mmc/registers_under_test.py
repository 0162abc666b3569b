"""The register map that the benches of MMC use."""
from spps.lib import Counters
from spps.mmc import Mmc, register_map
from spps.params import TINY

#: blocks of the counters: one with many, one with a single one
BLOCKS = [("wide", Counters({f"reason_{k}": f"occurrences of reason {k}" for k in range(40)})),
          ("narrow", Counters({"only": "occurrences"}))]


def build():
    """Register map of the MMC under test."""
    return register_map(TINY, [("mmc", Mmc.COUNTERS), *BLOCKS])
