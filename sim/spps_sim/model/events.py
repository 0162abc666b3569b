"""Reference model of the event queue: a bounded FIFO."""
from collections import deque

__all__ = ["EventQueueModel"]


class EventQueueModel:
    """Events in order; `put` and `get` are called for the transfers at `i` and `o`.

    depth: most events inside. level, high_water: as the block shows them.
    Raises AssertionError for a transfer that a queue of this depth cannot make.
    """

    def __init__(self, depth):
        self.depth, self.queue, self.high_water = depth, deque(), 0

    @property
    def level(self):
        """Events inside."""
        return len(self.queue)

    def put(self, event):
        """Take one event."""
        assert self.level < self.depth, "the queue took an event while it was full"
        self.queue.append(event)
        self.high_water = max(self.high_water, self.level)

    def get(self):
        """Return the oldest event."""
        assert self.queue, "the queue gave an event it never got"
        return self.queue.popleft()
