"""Model of the event queue: a bounded FIFO."""
from collections import deque

__all__ = ["EventQueueModel"]


class EventQueueModel:
    """put() and get() in the order of the transfers at the block; level and high_water as the block shows them."""

    def __init__(self, depth):
        self.depth, self.queue, self.high_water = depth, deque(), 0

    @property
    def level(self):
        return len(self.queue)

    def put(self, event):
        assert self.level < self.depth, "the queue took an event while it was full"
        self.queue.append(event)
        self.high_water = max(self.high_water, self.level)

    def get(self):
        assert self.queue, "the queue gave an event it never got"
        return self.queue.popleft()
