"""Event queues of the dispatcher. Source: patent §III, F2 212."""
from .event_queue import EventQueue

__all__ = ["EventQueue"]
