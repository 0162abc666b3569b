"""Socket memory: what is on its way from one leg of a connection to the other, in pages."""
from .axi_memory import AxiMemory, axi_signature
from .geometry import Geometry
from .onchip_memory import OnchipMemory
from .page_directory import PageDirectory
from .page_pools import PagePools
from .page_writer import PageWriter
from .pool_watermarks import PoolWatermarks
from .socket_commands import SocketCommands
from .socket_memory_controller import SocketMemoryController
from .socket_reader import SocketReader

__all__ = ["AxiMemory", "Geometry", "OnchipMemory", "PageDirectory", "PagePools", "PageWriter", "PoolWatermarks",
           "SocketCommands", "SocketMemoryController", "SocketReader", "axi_signature"]
