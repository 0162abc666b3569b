"""Message bus: short messages between all units. Source: patent §VI, F3 314, F7 742."""
from .message_bus import MessageBus

__all__ = ["MessageBus"]
