"""Socket memory: send and receive rings of every connection."""
from .ring_memory import RingMemory
from .socket_commands import SocketCommands
from .socket_memory_controller import SocketMemoryController
from .socket_reader import SocketReader

__all__ = ["SocketMemoryController", "SocketCommands", "SocketReader", "RingMemory"]
