"""Protocol cluster: cores, data and instruction memories, DMA, bus interface. Patent §V, §VI, F3."""
from .cluster_bus_interface import ClusterBusInterface
from .cluster_dma import ClusterDma
from .data_memory import DataMemory
from .instruction_memory import InstructionMemory
from .ports import CsrInputs
from .protocol_cluster import ProtocolCluster
from .protocol_core import ProtocolCore

__all__ = [
    "ClusterBusInterface", "ClusterDma", "CsrInputs", "DataMemory", "InstructionMemory", "ProtocolCluster",
    "ProtocolCore",
]
