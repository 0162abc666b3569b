"""Management and control: register map, counters, instruction window (patent F7, MMC 772)."""
from .blocks import BLOCKS, block_counters, counting_blocks, register_addresses, spps_map
from .counter_file import CounterFile
from .mmc import Mmc
from .register_map import Register, RegisterField, RegisterMap
from .registers import register_map

__all__ = ["BLOCKS", "CounterFile", "Mmc", "Register", "RegisterField", "RegisterMap", "block_counters",
           "counting_blocks", "register_addresses", "register_map", "spps_map"]
