"""Event queue between the message splitter and the lookup controller. Source: patent §III, F2 212."""
from .event_queue import EventQueue

__all__ = ["EventQueue"]
