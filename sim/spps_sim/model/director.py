"""Model of what surrounds and constrains the director: flowstate memory, cores, and rules 1 to 5.

A flowstate is the list of the events it has seen. A LOAD copies it into the workspace, processing an event appends to it there, a
WRITE_BACK copies it back. Whatever breaks rules 1 to 3 leaves a list that is not the order of arrival.
Source: patent §III.D–H, §VIII.
"""
from collections import Counter, deque

__all__ = ["DirectorModel"]


class DirectorModel:
    """Steps: arrive, deliver, load, finish, write_back, each in the order seen at the director; AssertionError names the rule."""

    def __init__(self, cores, workspaces, event_slots):
        self.workspaces, self.event_slots = workspaces, event_slots
        self.memory = {}                                    # conn -> [tags]
        self.at = {}                                        # conn -> (core, workspace)
        self.space = {}                                     # (core, workspace) -> [conn, tags, events, closing, loaded]
        self.queue = [deque() for _ in range(cores)]        # (conn, workspace, tag) not yet processed
        self.arrived = {}                                   # conn -> tags in the order they were taken
        self.waiting = deque()                              # taken, not yet delivered
        self.count = Counter()

    def arrive(self, conn, tag):
        """conn None: an event without a flow."""
        self.waiting.append((conn, tag))
        if conn is not None:
            self.arrived.setdefault(conn, []).append(tag)

    def deliver(self, conn, tag, core, workspace, load):
        assert self.waiting.popleft() == (conn, tag), "delivered out of order"
        assert len(self.queue[core]) < self.event_slots, f"rule 5: core {core} has no slot"
        self.queue[core].append((conn, workspace, tag))
        if conn is None:
            assert (workspace, load) == (0, 0)
            return
        if conn in self.at:
            assert self.at[conn] == (core, workspace), f"rule 1: flow {conn} is at {self.at[conn]}"
            assert not load and self.space[core, workspace][2] > 0, "joined a workspace that is written back"
            self.space[core, workspace][2] += 1
        else:
            assert load and (core, workspace) not in self.space, f"workspace {workspace} of core {core} is taken"
            self.at[conn] = core, workspace
            self.space[core, workspace] = [conn, None, 1, False, False]

    def load(self, conn, core, workspace):
        """The DMA reads flowstate memory."""
        space = self.space[core, workspace]
        assert space[0] == conn and not space[4], "a LOAD nobody needs"
        space[1], space[4] = list(self.memory.get(conn, [])), True

    def process(self, core, close):
        """The core ends its oldest event; returns (conn, workspace, tag)."""
        conn, workspace, tag = self.queue[core].popleft()
        if conn is not None:
            space = self.space[core, workspace]
            assert space[4], "processed before the workspace was loaded"
            space[1].append(tag)
            space[3] |= close
        return conn, workspace, tag

    def finish(self, core, workspace):
        """The director takes the Done of a flow. Returns None, or after the last event whether the connection ends."""
        space = self.space[core, workspace]
        space[2] -= 1
        return None if space[2] else space[3]

    def write_back(self, conn, core, workspace):
        """The DMA has written flowstate memory."""
        space = self.space.pop((core, workspace))
        assert space[0] == conn and space[2] == 0, "written back with events left"
        del self.at[conn]
        self.memory[conn] = space[1]

    def check_end(self):
        assert not self.waiting and not self.at and not self.space and not any(self.queue)
        assert self.memory == self.arrived, "rule 2 or 3: a flow did not see its events in order"
