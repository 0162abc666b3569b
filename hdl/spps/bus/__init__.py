"""Message bus, and what else the clusters share. Source: patent §VI, F3 314, F7 742."""
from .dma_bus import DmaBus
from .flowstate_bus import FlowstateBus
from .instruction_bus import InstructionBus
from .message_bus import MessageBus

__all__ = ["DmaBus", "FlowstateBus", "InstructionBus", "MessageBus"]
